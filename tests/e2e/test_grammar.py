"""Structured output and reasoning over a worker's own wire: a tiny model whose every token is drawn at temperature 1."""
import json
import uuid

import grpc
import pytest

from system import TINY_MODEL
from test_ranks import Rank
from wire import channel, generate_choices, pb, request, services

pytestmark = pytest.mark.tiny
END = 289  # <|im_end|>
PROMPT = [7] * 5
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["ok", "colour", "n"],
          "properties": {"ok": {"type": "boolean"}, "colour": {"enum": ["grün", "blå", "日本"]},
                         "n": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "integer", "minimum": 0, "maximum": 99}}}}


def tag(**form):
    return json.dumps({"type": "structural_tag", "format": form})


@pytest.fixture(scope="module")
def worker():
    rank = Rank("quire-worker", f"quire-test-{uuid.uuid4().hex}", 0, 1, max_sequences=16, grammar_timeout_ms=60000)
    try:
        port = rank.until("group_ready")["port"]
        group = {"address": f"127.0.0.1:{port}", "epoch": 1}
        with channel(group) as connection:
            yield group, services.InferenceStub(connection)
    finally:
        rank.process.kill()
        rank.process.wait(60)


@pytest.fixture(scope="module")
def text_of():
    """The bytes of each id, by tokenizer.json."""
    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    bytes_of = {chr(byte): byte for byte in letters}
    bytes_of |= {chr(256 + i): byte for i, byte in enumerate(byte for byte in range(256) if byte not in letters)}
    tokenizer = json.loads((TINY_MODEL / "tokenizer.json").read_text())
    table = {index: bytes(bytes_of[c] for c in text) for text, index in tokenizer["model"]["vocab"].items()}
    return lambda ids: b"".join(table[index] for index in ids).decode()


def ask(worker, source=None, reasoning=None, max_tokens=600, choices=(0,), seed=1, **sampling):
    group, stub = worker
    message = request(group, PROMPT, seed=seed, max_tokens=max_tokens, choices=list(choices),
                      **{"ignore_eos": False, "stop_ids": [END], **sampling})
    if source is not None:
        message.grammar.CopyFrom(pb.Grammar(kind="structural_tag", source=source))
    if reasoning is not None:
        message.reasoning.CopyFrom(pb.Reasoning(**reasoning))
    return generate_choices(stub, message)


def without_end(answer):
    return answer.ids[:-1] if answer.ids[-1] == END else answer.ids


def expect_schema(text):
    value = json.loads(text)
    assert list(value) == ["ok", "colour", "n"]
    assert isinstance(value["ok"], bool) and value["colour"] in SCHEMA["properties"]["colour"]["enum"]
    assert 1 <= len(value["n"]) <= 3 and all(isinstance(n, int) and 0 <= n <= 99 for n in value["n"])


def test_an_answer_at_temperature_1_is_what_its_schema_says(worker, text_of):
    whole = 0
    for seed in range(4):
        for answer in ask(worker, tag(type="json_schema", json_schema=SCHEMA), choices=range(4), seed=seed).values():
            if answer.finished == pb.FINISH_STOP:
                whole += 1
                expect_schema(text_of(without_end(answer)))
    assert whole >= 8


def test_free_text_has_no_special_token(worker, text_of):
    [answer] = ask(worker, tag(type="any_text"), max_tokens=300, ignore_eos=True).values()
    assert all(index < 287 for index in answer.ids)


def test_a_budget_ends_the_reasoning_and_then_the_grammar_begins(worker, text_of):
    think_end = 5
    for budget in (0, 1, 7):
        [answer] = ask(worker, tag(type="regex", pattern="(yes|no)"), max_tokens=60,
                       reasoning=dict(start=pb.REASONING_INSIDE, end_id=think_end, max_tokens=budget)).values()
        cut = answer.ids.index(think_end)
        assert cut <= budget and (cut == budget or budget > 1)
        assert text_of(without_end(answer)[cut + 1:]) in ("yes", "no")
        # An attempt that is cut anywhere goes on alike.
        for at in range(1, cut + 2):
            resumed = ask(worker, tag(type="regex", pattern="(yes|no)"), max_tokens=60,
                          reasoning=dict(start=pb.REASONING_INSIDE, end_id=think_end, max_tokens=budget),
                          choices=[pb.Choice(index=0, resumed_ids=answer.ids[:at])])
            assert resumed[0].ids == answer.ids[at:]


def refused(worker, *arguments, **options):
    with pytest.raises(grpc.RpcError) as refusal:
        ask(worker, *arguments, **options)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    return str(refusal.value)


def test_what_cannot_be_followed_is_refused_and_says_why(worker):
    assert "nowhere" in refused(worker, tag(type="grammar", grammar="root ::= nowhere"))
    assert "nested deeper" in refused(worker, "[" * 100000)
    assert "simplify" in refused(worker, tag(type="json_schema", json_schema={"const": "x" * 300000}))
    assert "reasoning.end_id" in refused(worker, reasoning=dict(end_id=304))
    assert "one of stop_ids" in refused(worker, reasoning=dict(end_id=END))
