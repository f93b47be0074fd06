"""A chat of 131,000 tokens with YaRN, over HTTP: the answer begins as transformers' does, usage counts what the tokenizers
library counts, and the prefix cache changes nothing."""
import json

import pytest

from generated import DATA, long_prompt, tiny_yarn
from system import System, http

CONTEXT, ANSWER = 131_072, 24


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """With the flags of the README's QwQ; room for one context and a little more."""
    model = tiny_yarn(tmp_path_factory.mktemp("models"))
    with System(model, tensor_parallel=2, rope_scaling="yarn:4:32768", kv_blocks=CONTEXT // 16 + 400) as running:
        yield running


def ask(system, content, max_tokens):
    body = {"model": system.model, "messages": [{"role": "user", "content": content}], "temperature": 0,
            "max_tokens": max_tokens, "ignore_eos": True}
    status, answer = http("POST", f"{system.url}/v1/chat/completions", system.api_key, body, timeout=3000)
    assert status == 200, answer
    usage = answer["usage"]
    return answer["choices"][0]["message"]["content"], usage, usage["prompt_tokens_details"]["cached_tokens"]


def test_131000_tokens(system):
    content = long_prompt.text(long_prompt.WORDS)
    ids = long_prompt.chat_ids(content)
    # A chat that begins alike and fits without scaling has another RoPE: nothing of it may serve the long one.
    _, usage, _ = ask(system, content[:4000], 1)
    assert usage["prompt_tokens"] == len(long_prompt.chat_ids(content[:4000]))
    text, usage, cached = ask(system, content, ANSWER)
    assert (usage["prompt_tokens"], cached) == (len(ids), 0) and len(ids) >= 131_000
    recorded = json.loads((DATA / "tiny-yarn-131k.json").read_text())
    assert (recorded["prompt_tokens"], len(recorded["greedy_ids"])) == (len(ids), ANSWER)
    assert text.startswith(long_prompt.tokenizer().decode(recorded["greedy_ids"][:recorded["sure"]]))
    assert usage["completion_tokens"] == ANSWER
    again, usage, cached = ask(system, content, ANSWER)
    assert again == text and usage["prompt_tokens"] == len(ids)
    assert len(ids) - 16 <= cached < len(ids)


def test_a_token_more_than_the_context(system):
    content = long_prompt.text(long_prompt.WORDS)
    room = CONTEXT - len(long_prompt.chat_ids(content))
    status, refused = system.chat(content, max_tokens=room + 1)
    assert status == 400 and refused["error"]["code"] == "context_length_exceeded", refused
