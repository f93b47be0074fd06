"""Tools against a real system: a tiny random model that has QwQ's template and its tags as tokens, held to its tools by their
grammar; the unmodified openai SDK and its stream helper."""
import json

import pytest

from generated import tiny_qwq
from system import System

CITIES, UNITS = ["Paris", "Zürich"], ["C", "F"]
TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a city", "strict": True, "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "enum": CITIES}, "unit": {"type": "string", "enum": UNITS}},
        "required": ["city", "unit"], "additionalProperties": False}}},
    {"type": "function", "function": {"name": "now", "strict": True, "parameters": {
        "type": "object", "properties": {}, "required": [], "additionalProperties": False}}}]
QUESTION = [{"role": "user", "content": "What is the weather?"}]


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    with System(tiny_qwq(tmp_path_factory.mktemp("model"))) as system:
        yield system


def ask(system, **fields):
    return system.openai().chat.completions.create(**{"model": system.model, "messages": QUESTION, "tools": TOOLS,
                                                      "tool_choice": "required", "max_tokens": 400, **fields})


def check(call):
    assert call.type == "function" and call.id.startswith("call_") and len(call.id) == 29
    arguments = json.loads(call.function.arguments)
    if call.function.name == "now":
        assert arguments == {}
    else:
        assert call.function.name == "get_weather" and list(arguments) == ["city", "unit"], "the schema's order"
        assert arguments["city"] in CITIES and arguments["unit"] in UNITS


def put_together(chunks):
    """As clients do, by index: (content, reasoning, [(id, name, arguments)], finish_reason)."""
    content, reasoning, calls, finish = "", "", [], None
    for chunk in chunks:
        for choice in chunk.choices:
            assert finish is None, "nothing after the end"
            content += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            for part in choice.delta.tool_calls or []:
                if part.index == len(calls):
                    assert part.id and part.type == "function" and part.function.name and part.function.arguments == ""
                    calls.append([part.id, part.function.name, ""])
                else:
                    assert part.index == len(calls) - 1 and not part.id and not part.function.name
                    calls[-1][2] += part.function.arguments
            finish = choice.finish_reason
    return content, reasoning, calls, finish


@pytest.mark.parametrize("fields", [
    {"temperature": 0}, {"temperature": 1, "seed": 3}, {"temperature": 1, "seed": 4, "parallel_tool_calls": False},
    {"temperature": 1, "seed": 5, "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    {"temperature": 1, "seed": 6, "tool_choice": "auto"}, {"temperature": 1, "seed": 7, "tool_choice": "none", "max_tokens": 40},
    {"temperature": 1, "seed": 8, "extra_body": {"reasoning": {"enabled": True, "max_tokens": 12}}}])
def test_a_stream_is_the_whole_answer(serving, fields):
    whole = ask(serving, **fields)
    choice = whole.choices[0]
    content, reasoning, calls, finish = put_together(ask(serving, stream=True, **fields))
    assert content == (choice.message.content or "") and finish == choice.finish_reason
    assert reasoning == (getattr(choice.message, "reasoning_content", None) or "")
    called = choice.message.tool_calls or []
    assert [call[1:] for call in calls] == [[call.function.name, call.function.arguments] for call in called]
    assert len({call.id for call in called}) == len(called)
    whole_calls = called[:-1] if finish == "length" else called
    for call in whole_calls:
        check(call)
    choose = fields.get("tool_choice", "required")
    if choose == "none":
        assert not called and finish in ("stop", "length")
    elif choose != "auto":
        assert called and "tool_call" not in content
    assert (finish == "tool_calls") == bool(called and finish != "length")
    if isinstance(choose, dict):
        assert {call.function.name for call in called} == {"get_weather"}
    if fields.get("parallel_tool_calls") is False:
        assert len(called) == 1 and finish == "tool_calls"
    if "extra_body" in fields:
        assert reasoning and 12 <= whole.usage.completion_tokens_details.reasoning_tokens <= 14


def test_the_sdks_stream_helper_puts_calls_together(serving):
    fields = {"temperature": 1, "seed": 4, "parallel_tool_calls": False}
    whole = ask(serving, **fields).choices[0].message.tool_calls[0]
    with serving.openai().chat.completions.stream(model=serving.model, messages=QUESTION, tools=TOOLS, tool_choice="required",
                                                  max_tokens=400, **fields) as stream:
        events = list(stream)
        final = stream.get_final_completion().choices[0]
    [call] = final.message.tool_calls
    assert final.finish_reason == "tool_calls"
    assert (call.function.name, call.function.arguments) == (whole.function.name, whole.function.arguments)
    [done] = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert done.arguments == whole.function.arguments


def test_a_conversation_goes_on_with_the_tools_results(serving):
    answer = ask(serving, temperature=1, seed=4, parallel_tool_calls=False).choices[0].message
    [call] = answer.tool_calls
    messages = [*QUESTION, answer.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": [{"type": "text", "text": "21 °C"}]}]
    second = ask(serving, messages=messages, temperature=1, seed=4, parallel_tool_calls=False)
    check(second.choices[0].message.tool_calls[0])
    assert second.choices[0].message.tool_calls[0].id != call.id
    asked = ask(serving, messages=QUESTION, max_tokens=1).usage.prompt_tokens
    assert second.usage.prompt_tokens > asked + len("21 °C")


def test_a_call_that_is_cut_ends_with_length(serving):
    for max_tokens in (8, 20, 40):
        fields = {"temperature": 0, "max_tokens": max_tokens, "tool_choice": {"type": "function", "function": {"name": "get_weather"}}}
        choice = ask(serving, **fields).choices[0]
        content, _, calls, finish = put_together(ask(serving, stream=True, **fields))
        assert choice.finish_reason == finish == "length"
        called = choice.message.tool_calls or []
        assert "".join(call[2] for call in calls) == "".join(call.function.arguments for call in called)
        assert "tool_call" not in content


def test_several_choices_have_calls_of_their_own(serving):
    answer = ask(serving, temperature=1, seed=9, n=3, parallel_tool_calls=False)
    calls = [choice.message.tool_calls[0] for choice in answer.choices]
    assert len({call.id for call in calls}) == 3 and all(choice.finish_reason == "tool_calls" for choice in answer.choices)
    for call in calls:
        check(call)
