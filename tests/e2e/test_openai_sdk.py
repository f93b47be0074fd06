"""The unmodified openai SDK, and the wire below it, against the running system."""
import json
from decimal import Decimal

import openai
import pytest

from stream import Outcome, Stream
from system import ROOT, http

PROMPT, COMPLETION = Decimal(75) / 10**9, Decimal(150) / 10**9


def cost(usage):
    return usage["prompt_tokens"] * PROMPT + usage["completion_tokens"] * COMPLETION


def ask(client, system, content, **options):
    options = {"max_tokens": 24, "temperature": 0, **options}
    return client.chat.completions.create(model=system.model, messages=[{"role": "user", "content": content}], **options)


def test_plain(system):
    answer = ask(system.openai(), system, "What is the capital of France?")
    choice, usage = answer.choices[0], answer.usage
    assert answer.object == "chat.completion" and choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")
    assert 0 < usage.completion_tokens <= 24 and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens

def test_answers_are_those_of_transformers(system):
    if "smollm2" not in system.model:
        pytest.skip("recorded for the demo model")
    recorded = json.loads((ROOT / "tests/golden/data/models/smollm2-chat.json").read_text())
    client = system.openai()
    for wanted in recorded["answers"]:
        got = client.chat.completions.create(model=system.model, messages=wanted["messages"], temperature=0,
                                             max_tokens=recorded["max_tokens"],
                                             extra_body={"repetition_penalty": 1})  # the demo's default is another
        assert got.choices[0].message.content.startswith(wanted["text"])
        assert got.usage.prompt_tokens == wanted["prompt_tokens"]
        if wanted["whole"]:
            assert got.choices[0].message.content == wanted["text"]
            assert got.usage.completion_tokens == wanted["completion_tokens"]


def test_stream_equals_plain_and_has_the_hosted_pages_frames(system):
    plain = ask(system.openai(), system, "Count to five.", seed=7, temperature=0.8)
    payloads = list(Stream(system, "Count to five.", seed=7, temperature=0.8, max_tokens=24))
    assert payloads[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert payloads[-1] == "[DONE]"
    final = payloads[-2]
    assert final["choices"][0]["delta"] == {} and final["choices"][0]["finish_reason"]
    assert all("usage" not in p or p["usage"] is None for p in payloads[:-2])
    outcome = Outcome(payloads)
    assert outcome.text == plain.choices[0].message.content
    assert outcome.terminals == 1 and outcome.done == 1
    assert outcome.usage["completion_tokens"] == plain.usage.completion_tokens
    assert Decimal(repr(outcome.usage["estimated_cost"])) == cost(outcome.usage)


def test_usage_frames_follow_stream_options(system):
    last = list(Stream(system, "Hi", max_tokens=3, stream_options={"include_usage": True}))[-2]
    assert last["choices"] == [] and last["usage"]["completion_tokens"] <= 3
    none = Outcome(Stream(system, "Hi", max_tokens=3, stream_options={"include_usage": False}))
    assert none.usage is None and none.terminals == 1


def test_sdk_stream(system):
    chunks = list(ask(system.openai(), system, "Say hello.", stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == ask(system.openai(), system, "Say hello.").choices[0].message.content
    assert chunks[-1].usage.completion_tokens > 0


def test_multi_turn(system):
    messages = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "My name is Ada."},
                {"role": "assistant", "content": "Hello Ada."}, {"role": "user", "content": "What is my name?"}]
    client = system.openai()
    answer = client.chat.completions.create(model=system.model, messages=messages, max_tokens=24, temperature=0)
    shorter = client.chat.completions.create(model=system.model, messages=messages[1:2], max_tokens=1, temperature=0)
    assert answer.usage.prompt_tokens > shorter.usage.prompt_tokens


def test_seed_decides(system):
    def sample(seed):
        return ask(system.openai(), system, "Tell me a story.", seed=seed, temperature=1.0).choices[0].message.content
    assert sample(5) == sample(5)
    assert len({sample(seed) for seed in range(5)}) > 1


def test_stop_is_never_leaked(system):
    whole = ask(
        system.openai(), system, "List three colours.", extra_body={"ignore_eos": True}).choices[0].message.content
    assert len(whole) >= 6
    stop = whole[3:6]
    outcome = Outcome(Stream(system, "List three colours.", stop=[stop], temperature=0, max_tokens=24, ignore_eos=True))
    assert outcome.finish_reason == "stop" and stop not in outcome.text
    assert outcome.text == whole[: whole.index(stop)]


def test_max_tokens_null_and_max_completion_tokens(system):
    answer = ask(system.openai(), system, "Hi", max_tokens=None, max_completion_tokens=2, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 2 and answer.choices[0].finish_reason == "length"


def test_models(system):
    listed = system.openai().models.list().data
    assert [m.id for m in listed] == [system.model]
    status, answer = http("GET", f"{system.url}/v1/openai/models", system.api_key)
    assert status == 200 and answer["object"] == "list"


def test_both_paths(system):
    body = {"model": system.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, "temperature": 0}
    answers = [http("POST", f"{system.url}{path}", system.api_key, body)[1]["choices"][0]["message"]["content"]
               for path in ("/v1/chat/completions", "/v1/openai/chat/completions")]
    assert answers[0] == answers[1]


def test_errors(system):
    with pytest.raises(openai.AuthenticationError):
        ask(system.openai(api_key="sk-quire-wrong"), system, "Hi")
    client = system.openai()
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Hi"}])
    with pytest.raises(openai.BadRequestError) as context:
        ask(client, system, "word " * 60_000, max_tokens=1)
    assert context.value.body["code"] == "context_length_exceeded"
    for refused in ({"temperature": 3}, {"n": 5}, {"tools": [{"type": "function", "function": {"name": "a b"}}]},
                    {"response_format": {"type": "xml"}}, {"top_logprobs": 2}):
        with pytest.raises(openai.UnprocessableEntityError) as error:
            ask(client, system, "Hi", **refused)
        assert error.value.body["param"] and error.value.body["message"]


def test_tools_of_a_model_whose_template_takes_none(system):
    """They are told in the system message, and what must be a call is held to it."""
    client = system.openai()
    parameters = {"type": "object", "properties": {"at": {"enum": ["sky", "sea"]}}, "required": ["at"], "additionalProperties": False}
    fields = {"tools": [{"type": "function", "function": {"name": "look", "parameters": parameters}}], "tool_choice": "required",
              "parallel_tool_calls": False, "max_tokens": 200, "temperature": 0}
    choice = ask(client, system, "Look at the sea.", **fields).choices[0]
    assert choice.finish_reason == "tool_calls"
    call = choice.message.tool_calls[0].function
    assert call.name == "look" and json.loads(call.arguments)["at"] in ("sky", "sea")
    streamed = [part for chunk in ask(client, system, "Look at the sea.", stream=True, **fields) for part in chunk.choices[0].delta.tool_calls or []]
    assert "".join(part.function.arguments for part in streamed if part.index == 0) == call.arguments
    history = [{"role": "user", "content": "Look at the sea."}, choice.message,
               *({"role": "tool", "tool_call_id": one.id, "content": "Waves."} for one in choice.message.tool_calls)]
    answer = client.chat.completions.create(model=system.model, messages=history, max_tokens=8, tools=fields["tools"])
    assert answer.usage.prompt_tokens > 100


def test_several_choices_streamed_and_whole(system):
    client = system.openai()
    wish = {"n": 3, "max_tokens": 12, "temperature": 1.2, "seed": 11}
    whole = ask(client, system, "Invent a name for a ship.", **wish)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    texts = [choice.message.content for choice in whole.choices]
    assert len(set(texts)) > 1
    alone = ask(client, system, "Invent a name for a ship.", **{**wish, "n": 1})
    assert alone.choices[0].message.content == texts[0], "a choice is what it would be without the others"
    assert whole.usage.prompt_tokens == alone.usage.prompt_tokens
    built, ends = ["", "", ""], [None, None, None]
    for chunk in ask(client, system, "Invent a name for a ship.", stream=True, **wish):
        for choice in chunk.choices:
            assert ends[choice.index] is None, "nothing after a choice's end"
            built[choice.index] += choice.delta.content or ""
            ends[choice.index] = choice.finish_reason
        if chunk.usage:
            assert chunk.usage.completion_tokens == whole.usage.completion_tokens
    assert built == texts
    assert ends == [choice.finish_reason for choice in whole.choices]


def test_logprobs_are_of_the_bytes_beside_them(system):
    client = system.openai()
    # Of the raw logits, so nothing else may have a say in what is the likeliest.
    wish = {"logprobs": True, "top_logprobs": 5, "max_tokens": 24, "temperature": 0, "extra_body": {"repetition_penalty": 1}}
    question = "Say a word with an accent, then a star: caf\u00e9 \u2605"
    whole = ask(client, system, question, **wish).choices[0]
    entries = whole.logprobs.content
    # A tiny model says what is no UTF-8, too.
    assert b"".join(bytes(entry.bytes) for entry in entries).decode(errors="replace") == whole.message.content
    for entry in entries:
        best = entry.top_logprobs[0]
        assert len(entry.top_logprobs) == 5
        assert best.logprob == entry.logprob and best.bytes == entry.bytes, "greedy takes the likeliest"
        assert 0 >= entry.logprob > -100
    streamed = []
    for chunk in ask(client, system, question, stream=True, **wish):
        for choice in chunk.choices:
            assert bool(choice.logprobs) == bool(choice.delta.content), "entries come with their text"
            streamed += choice.logprobs.content if choice.logprobs else []
    assert streamed == entries


def test_nothing_of_a_message_is_dropped_silently(system):
    call = {"id": "1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    question = {"role": "user", "content": "Hi"}
    for message, field in (({"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls.0"),
                           ({"role": "assistant", "content": "a", "function_call": call["function"]}, "function_call"),
                           ({"role": "assistant", "content": None, "refusal": "no"}, "refusal"),
                           ({"role": "assistant", "content": None, "audio": {"id": "a"}}, "audio"),
                           ({"role": "tool", "tool_call_id": "1", "content": "9"}, "tool_call_id"),
                           ({"role": "function", "name": "now", "content": "9"}, "role")):
        with pytest.raises(openai.UnprocessableEntityError) as error:
            system.openai().chat.completions.create(model=system.model, messages=[question, message, question])
        assert error.value.body["param"] == f"messages.1.{field}"
    answer = ask(system.openai(), system, "Hi", max_tokens=4).choices[0].message
    again = [question, answer.model_dump(), question]  # as the SDK echoes an answer, null fields and all
    assert system.openai().chat.completions.create(model=system.model, messages=again, max_tokens=1).usage.prompt_tokens


def test_integers_zero_top_p_and_no_reasoning(system):
    greedy = ask(system.openai(), system, "Name a colour.", extra_body={"repetition_penalty": 1})
    nucleus = ask(system.openai(), system, "Name a colour.", top_p=0, temperature=1, seed=3, reasoning_effort="none",
                  extra_body={"repetition_penalty": 1, "max_tokens": 24.0, "reasoning": {"enabled": False}})
    assert nucleus.choices[0].message.content == greedy.choices[0].message.content


def test_line_breaks_of_unicode_cut_no_event(system):
    """Readers of lines that know Unicode, as str.splitlines, would cut an event at U+2028, U+2029 and U+0085."""
    marks = "\u0085\u2028\u2029"
    start = marks.join(f"a{n}" for n in range(1, 8))
    messages = [{"role": "user", "content": "Continue the list."}, {"role": "assistant", "content": start}]
    stream = Stream(system, "", messages=messages, max_tokens=24, temperature=0, repetition_penalty=1)
    lines = [line for line in stream.response.read().decode().splitlines() if line and not line.startswith(":")]
    assert lines[-1] == "data: [DONE]"
    outcome = Outcome([json.loads(line.removeprefix("data: ")) for line in lines[:-1]])
    assert outcome.terminals == 1
    if "smollm2" in system.model:
        assert set(marks) & set(outcome.text), "it goes on with the marks"


def test_a_model_that_the_key_may_not_use_is_an_unknown_one(system):
    created = system.create_key(name="scoped", account="scoped", models=["another-model"])
    client, bodies = system.openai(api_key=created["key"]), []
    for name in (system.model, "no-such-model"):
        with pytest.raises(openai.NotFoundError) as error:
            client.chat.completions.create(model=name, messages=[{"role": "user", "content": "Hi"}])
        bodies.append(error.value.body)
    assert bodies[0] == bodies[1]
    system.admin("DELETE", f"keys/{created['id']}")


def test_special_tokens_in_user_text_are_text(system):
    plain = ask(system.openai(), system, "a", max_tokens=1).usage.prompt_tokens
    forged = ask(system.openai(), system, "<|im_end|>", max_tokens=1).usage.prompt_tokens
    assert forged > plain  # a parsed special token would be one token, as "a" is


def test_metered_to_the_last_digit(system):
    created = system.create_key(name="metered", account="metering")
    client = system.openai(api_key=created["key"])
    answers = [ask(client, system, f"Number {i}", max_tokens=5 + i).usage for i in range(4)]
    system.wait_for_settles()
    row = next(r for r in system.usage() if r["key_id"] == created["id"])
    assert row["prompt_tokens"] == sum(a.prompt_tokens for a in answers)
    assert row["completion_tokens"] == sum(a.completion_tokens for a in answers)
    total = sum(Decimal(repr(a.estimated_cost)) for a in answers)
    assert Decimal(row["cost_nano_usd"]) / 10**9 == total
    status, _ = system.admin("DELETE", f"keys/{created['id']}")
    assert status in (200, 204)
