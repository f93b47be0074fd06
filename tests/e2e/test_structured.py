"""Answers of a form against a real system: schemas, expressions, grammars and budgets of reasoning, by a tiny random model
that has QwQ's template and tags, with the unmodified openai SDK."""
import json
import os
import re
import signal

import jsonschema
import openai
import pytest

from generated import tiny_qwq
from system import System

RECORD = {"type": "object", "properties": {
    "kind": {"enum": ["a", "b\"c", "é"]}, "size": {"type": "integer", "minimum": -5, "maximum": 1200}, "on": {"type": "boolean"},
    "code": {"type": "string", "pattern": "^[a-z]{2}-[0-9]{1,3}$"}, "note": {"type": "string", "maxLength": 6},
    "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1, "maxItems": 2}},
    "required": ["kind", "size", "on", "code", "tags"], "additionalProperties": False,
    "$defs": {"tag": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]}]}}}
TOOL = {"type": "function", "function": {"name": "look", "strict": True, "parameters": {
    "type": "object", "properties": {"at": {"enum": ["sky", "sea"]}}, "required": ["at"], "additionalProperties": False}}}


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    with System(tiny_qwq(tmp_path_factory.mktemp("model"))) as system:
        yield system


def schema_format(schema, **more):
    return {"type": "json_schema", "json_schema": {"name": "record", "strict": True, "schema": schema, **more}}


def ask(system, **fields):
    fields = {"max_tokens": 600, "temperature": 1, "extra_body": {"reasoning_effort": "none"}, **fields}
    return system.openai().chat.completions.create(model=system.model, messages=[{"role": "user", "content": "Go"}], **fields)


def budget(tokens):
    return {"extra_body": {"reasoning": {"enabled": True, "max_tokens": tokens}}}


@pytest.mark.parametrize("seed", range(6))
def test_what_comes_to_an_end_is_valid(serving, seed):
    choice = ask(serving, response_format=schema_format(RECORD), seed=seed).choices[0]
    assert choice.finish_reason == "stop"
    value = json.loads(choice.message.content)
    jsonschema.Draft202012Validator(RECORD).validate(value)
    assert [name for name in RECORD["properties"] if name in value] == list(value), "the schema's order"


def test_a_stream_is_the_whole_answer_also_of_several_choices(serving):
    fields = {"response_format": schema_format(RECORD), "seed": 11, "n": 3, "logprobs": True, **budget(7)}
    whole = ask(serving, **fields)
    texts, reasoning = ["", "", ""], ["", "", ""]
    for chunk in ask(serving, stream=True, **fields):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            reasoning[choice.index] += getattr(choice.delta, "reasoning_content", None) or ""
    for choice in whole.choices:
        assert texts[choice.index] == choice.message.content
        assert reasoning[choice.index] == choice.message.reasoning_content
        jsonschema.Draft202012Validator(RECORD).validate(json.loads(choice.message.content))


@pytest.mark.parametrize("tokens", [0, 1, 9])
def test_a_budget_ends_the_reasoning_and_the_form_begins_behind_it(serving, tokens):
    answer = ask(serving, response_format=schema_format(RECORD), seed=2, **budget(tokens))
    jsonschema.Draft202012Validator(RECORD).validate(json.loads(answer.choices[0].message.content))
    assert answer.usage.completion_tokens_details.reasoning_tokens == tokens + 1  # </think> counts


def test_a_budget_alone(serving):
    """Who gives one wants the model to reason."""
    answer = ask(serving, seed=3, max_tokens=40, extra_body={"reasoning": {"max_tokens": 5}})
    assert answer.usage.completion_tokens_details.reasoning_tokens == 6
    assert answer.usage.completion_tokens > 6


@pytest.mark.parametrize("seed", range(6))
def test_tools_a_schema_and_reasoning_are_one_grammar(serving, seed):
    choice = ask(serving, response_format=schema_format(RECORD), tools=[TOOL], seed=seed, parallel_tool_calls=False, **budget(6)).choices[0]
    if choice.finish_reason == "tool_calls":
        [call] = choice.message.tool_calls
        assert call.function.name == "look" and json.loads(call.function.arguments)["at"] in ("sky", "sea")
        assert not choice.message.content
    else:
        assert choice.finish_reason == "stop"
        jsonschema.Draft202012Validator(RECORD).validate(json.loads(choice.message.content))


def test_expressions_and_grammars(serving):
    expression = r"(?:[A-C]{2}|x\d{3})-(?:é|\$)+?"
    for seed in range(3):
        choice = ask(serving, response_format={"type": "regex", "regex": expression}, seed=seed).choices[0]
        if choice.finish_reason == "stop":
            assert re.fullmatch(expression, choice.message.content)
    grammar = 'root ::= item (", " item){2}\nitem ::= "apple" | "pear"'
    choice = ask(serving, response_format={"type": "grammar", "grammar": grammar}, seed=1).choices[0]
    assert re.fullmatch("(apple|pear)(, (apple|pear)){2}", choice.message.content)


def test_a_json_object(serving):
    """Whatever it is: a random model's has no end, so what came is a beginning of one."""
    choice = ask(serving, response_format={"type": "json_object"}, max_tokens=30).choices[0]
    assert choice.message.content.startswith("{")


@pytest.mark.parametrize("form, param", [
    (schema_format({"type": "object", "properties": {"a": {"not": {}}}}), "response_format.json_schema.schema.properties.a.not"),
    (schema_format({"$ref": "#/$defs/x"}), "response_format.json_schema.schema.$ref"), (schema_format(7), "response_format.json_schema.schema"),
    (schema_format({"type": "string", "pattern": "("}), "response_format.json_schema.schema.pattern"),
    ({"type": "regex", "regex": "a("}, "response_format.regex"), ({"type": "yaml"}, "response_format.type")])
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_held_to_is_refused_before_anything_comes(serving, form, param, stream):
    with pytest.raises(openai.APIStatusError) as refused:
        ask(serving, response_format=form, stream=stream)
    assert refused.value.status_code in (400, 422) and refused.value.body["param"] == param


def test_a_grammar_is_read_by_the_worker(serving):
    """So in a stream what is wrong with it is the stream's error."""
    form = {"type": "grammar", "grammar": "root ::= nothing"}
    with pytest.raises(openai.BadRequestError, match="nothing"):
        ask(serving, response_format=form)
    with pytest.raises(openai.APIError, match="nothing"):
        list(ask(serving, response_format=form, stream=True))


def test_a_form_goes_on_at_another_group(tmp_path):
    """The group dies amid the answer: what the client gets is what it would have got."""
    schema = {"type": "array", "items": RECORD, "minItems": 40, "maxItems": 40, "$defs": RECORD["$defs"]}
    fields = {"response_format": schema_format(schema), "seed": 5, "max_tokens": 6000, **budget(20)}
    with System(tiny_qwq(tmp_path), groups=2) as system:
        undisturbed = ask(system, **fields).choices[0].message
        text, reasoning, killed = "", "", False
        for chunk in ask(system, stream=True, **fields):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            if text and not killed:
                for group in system.groups():
                    if group["running"] > 0:
                        os.kill(group["process"]["pids"][0], signal.SIGKILL)
                        killed = True
        assert killed and text == undisturbed.content and reasoning == undisturbed.reasoning_content
