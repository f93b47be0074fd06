"""The doors beside chat completions, by curl and the unmodified openai SDK: text completions, models, tokens, templates."""
import json
import subprocess
from decimal import Decimal

import openai
import pytest

from system import http

PROMPTS = ["The capital of France is", "One, two, three,", "Once upon a time"]


def complete(system, prompt, **options):
    options = {"max_tokens": 12, "temperature": 0, "extra_body": {"ignore_eos": True}, **options}
    return system.openai().completions.create(model=system.model, prompt=prompt, **options)


def curl(system, path, body=None):
    """What a shell gets: the reply's body and its status."""
    sends = [] if body is None else ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    command = ["curl", "-s", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {system.api_key}", *sends, system.url + path]
    text, _, status = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.rpartition("\n")
    return int(status), json.loads(text)


def ask(system, door, **fields):
    status, answer = curl(system, f"/v1/{door}", {"model": system.model, **fields})
    assert status == 200, answer
    return answer


def test_a_completion_streamed_and_whole(system):
    whole = complete(system, PROMPTS[0])
    assert whole.object == "text_completion" and len(whole.choices[0].text) > 0
    assert whole.usage.completion_tokens == 12 and whole.choices[0].finish_reason == "length"
    chunks = list(complete(system, PROMPTS[0], stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 12
    assert complete(system, PROMPTS[0], echo=True).choices[0].text == PROMPTS[0] + whole.choices[0].text


def test_several_prompts_are_what_each_is_alone(system):
    wish = {"n": 2, "temperature": 1.1, "seed": 5}
    alone = [complete(system, prompt, **wish) for prompt in PROMPTS]
    together = complete(system, PROMPTS, **wish)
    assert [choice.index for choice in together.choices] == list(range(6))
    assert [c.text for c in together.choices] == [c.text for one in alone for c in one.choices]
    assert together.usage.prompt_tokens == sum(one.usage.prompt_tokens for one in alone)
    assert together.usage.completion_tokens == 6 * 12
    texts = [""] * 6
    for chunk in complete(system, PROMPTS, stream=True, **wish):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [c.text for c in together.choices]


def test_the_ledger_has_each_prompt_by_itself_and_the_usage_their_sum(system):
    system.wait_for_settles()
    before = sum(row["cost_nano_usd"] for row in system.usage())
    answer = complete(system, PROMPTS)
    system.wait_for_settles()
    posted = sum(row["cost_nano_usd"] for row in system.usage()) - before
    assert Decimal(repr(answer.usage.estimated_cost)) * 10**9 == posted


def token_bytes(name):
    """Of a token as logprobs name it."""
    if not name.startswith("bytes:"):
        return name.encode()
    return bytes(int(digits, 16) for digits in name.removeprefix("bytes:").split("\\x")[1:])


def test_a_prompt_of_ids_and_its_logprobs(system):
    ids = ask(system, "tokenize", prompt=PROMPTS[1])["tokens"]
    plain = {"extra_body": {"ignore_eos": True, "repetition_penalty": 1}}  # the demo's default is another
    text = complete(system, PROMPTS[1], logprobs=3, **plain)
    assert complete(system, ids, **plain).choices[0].text == text.choices[0].text
    lists = text.choices[0].logprobs
    said = text.choices[0].text
    assert b"".join(map(token_bytes, lists.tokens)).decode(errors="replace") == said
    for offset, token in zip(lists.text_offset, lists.tokens):
        assert said[offset:].startswith(token) or (token.startswith("bytes:") and said[offset] == "\ufffd")
    for token, logprob, top in zip(lists.tokens, lists.token_logprobs, lists.top_logprobs):
        assert top[token] == logprob == max(top.values()), "greedy: the likeliest"


def test_a_chat_is_the_completion_of_its_template(system):
    messages = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "caf\u00e9 \U0001f600 <|im_end|>?"}]
    chat = system.openai().chat.completions.create(model=system.model, messages=messages, max_tokens=8, temperature=0)
    counted = ask(system, "tokenize", messages=messages)
    assert counted["count"] == len(counted["tokens"]) == chat.usage.prompt_tokens
    completed = complete(system, counted["tokens"], max_tokens=8, extra_body={})
    assert completed.choices[0].text == chat.choices[0].message.content
    rendered = ask(system, "apply-template", messages=messages)["prompt"]
    assert rendered == ask(system, "detokenize", tokens=counted["tokens"])["prompt"]


def test_texts_come_back_from_their_ids(system):
    for text in ("Hello world", " leading and trailing ", "caf\u00e9 \U0001f600 \u4f60\u597d", "<|im_end|> as text", "\n\n\t", "a\u2028b", ""):
        ids = ask(system, "tokenize", prompt=text, add_special_tokens=False)["tokens"]
        assert ask(system, "detokenize", tokens=ids)["prompt"] == text


def test_a_model_says_what_it_can(system):
    client = system.openai()
    listed = client.models.list().data[0]
    assert client.models.retrieve(system.model) == listed
    assert listed.capabilities["chat"] and listed.capabilities["completions"]
    assert listed.context_length == listed.max_model_len == listed.metadata["context_length"]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("Qwen/no-such-model")
    assert curl(system, f"/v1/openai/models/{system.model}")[0] == 200


def test_what_is_refused(system):
    for refused, param in (({"suffix": "x"}, "suffix"), ({"best_of": 2}, "best_of"), ({"logprobs": 6}, "logprobs"),
                           ({"max_tokens": 0}, "max_tokens")):
        with pytest.raises(openai.UnprocessableEntityError) as error:
            complete(system, "a", **refused)
        assert error.value.body["param"] == param
    with pytest.raises(openai.UnprocessableEntityError) as error:
        complete(system, ["a"] * 33)
    assert error.value.body["param"] == "prompt"
    status, _ = http("POST", f"{system.url}/tokenize", "sk-quire-wrong", {"model": system.model, "prompt": "a"})
    assert status == 401
