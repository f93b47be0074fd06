"""litellm as a client, unmodified, of the running system: a tiny random model with QwQ's template and tags."""
import asyncio
import json
import os

import jsonschema
import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it asks another host for prices else
import litellm  # noqa: E402

from test_tools import TOOLS, check  # noqa: E402

litellm.suppress_debug_info = True
litellm.telemetry = False
PROMPT = [{"role": "user", "content": "Go"}]
SCHEMA = {"type": "object", "properties": {"kind": {"enum": ["a", "é"]}, "n": {"type": "integer", "minimum": 0, "maximum": 9}},
          "required": ["kind", "n"], "additionalProperties": False}


def options(running, **more):
    return {"model": f"openai/{running.model}", "api_base": f"{running.url}/v1", "api_key": running.api_key, "max_retries": 0,
            "temperature": 1, "seed": 3, "max_tokens": 400, "messages": PROMPT, **more}


def ask(running, **more):
    return litellm.completion(**options(running, **more))


NO_REASONING = {"extra_body": {"reasoning_effort": "none"}}
CALL = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}


def test_whole_streamed_and_asynchronous(qwq):
    whole = ask(qwq, max_tokens=30, **NO_REASONING)
    text = whole.choices[0].message.content
    chunks = list(ask(qwq, max_tokens=30, stream=True, stream_options={"include_usage": True}, **NO_REASONING))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text and text
    built = litellm.stream_chunk_builder(chunks, messages=PROMPT)
    assert built.choices[0].message.content == text
    assert built.usage.completion_tokens == whole.usage.completion_tokens > 0
    assert asyncio.run(litellm.acompletion(**options(qwq, max_tokens=30, **NO_REASONING))).choices[0].message.content == text


def test_reasoning_is_kept_apart(qwq):
    fields = {"max_tokens": 30, "extra_body": {"reasoning": {"max_tokens": 9}}}
    message = ask(qwq, **fields).choices[0].message
    assert message.reasoning_content and "</think>" not in message.content
    reasoning, content = "", ""
    for chunk in ask(qwq, stream=True, **fields):
        reasoning += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
        content += chunk.choices[0].delta.content or ""
    assert (reasoning, content) == (message.reasoning_content, message.content)


def test_tools_and_a_second_turn(qwq):
    message = ask(qwq, **CALL).choices[0].message
    [call] = message.tool_calls
    check(call)
    built = litellm.stream_chunk_builder(list(ask(qwq, stream=True, **CALL)), messages=PROMPT).choices[0]
    assert built.finish_reason == "tool_calls"
    [streamed] = built.message.tool_calls
    assert (streamed.function.name, streamed.function.arguments) == (call.function.name, call.function.arguments)
    messages = [*PROMPT, message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "21 °C"}]
    [second] = ask(qwq, messages=messages, **CALL).choices[0].message.tool_calls
    check(second)
    assert second.id != call.id


def test_response_format(qwq):
    form = {"type": "json_schema", "json_schema": {"name": "record", "strict": True, "schema": SCHEMA}}
    for fields in ({"response_format": form}, {"response_format": form, "stream": True}):
        answer = ask(qwq, **fields, **NO_REASONING)
        choice = (litellm.stream_chunk_builder(list(answer)) if "stream" in fields else answer).choices[0]
        assert choice.finish_reason == "stop"
        jsonschema.validate(json.loads(choice.message.content), SCHEMA)


def test_text_completion(qwq):
    def complete(**more):
        fields = {**options(qwq), "model": f"text-completion-openai/{qwq.model}", "prompt": "One, two,", "max_tokens": 12, **more}
        return litellm.text_completion(**{name: value for name, value in fields.items() if name != "messages"})
    whole = complete()
    assert whole.choices[0].text and whole.usage.completion_tokens > 0
    assert "".join(chunk.choices[0].text or "" for chunk in complete(stream=True)) == whole.choices[0].text


def test_the_messages_door(qwq):
    """As one of Anthropic's."""
    fields = {"model": f"anthropic/{qwq.model}", "api_base": qwq.url, "max_tokens": 400, "temperature": 0}
    chosen = {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "get_weather"}}}
    fields = {name: value for name, value in options(qwq, **fields).items() if name != "seed"}
    [call] = litellm.completion(**fields, **chosen).choices[0].message.tool_calls
    check_weather(call.function)
    built = litellm.stream_chunk_builder(list(litellm.completion(**fields, **chosen, stream=True)))
    streamed = built.choices[0].message.tool_calls[0].function.arguments
    assert json.loads(streamed) == json.loads(call.function.arguments)  # a whole use's input is an object: respelt here


def check_weather(function):
    assert function.name == "get_weather" and set(json.loads(function.arguments)) == {"city", "unit"}


def test_errors_are_its_own(qwq):
    with pytest.raises(litellm.AuthenticationError):
        ask(qwq, api_key="sk-quire-wrong")
    with pytest.raises(litellm.NotFoundError):
        ask(qwq, model="openai/none")
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        ask(qwq, temperature=3)
    with pytest.raises(litellm.ContextWindowExceededError):
        ask(qwq, messages=[{"role": "user", "content": "word " * 9000}])
