"""LangChain's ChatOpenAI, unmodified, on the running system: a tiny random model with QwQ's template and tags."""
import json
from typing import Literal

import jsonschema
import pydantic
import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def get_weather(city: Literal["Paris", "Zürich"], unit: Literal["C", "F"]) -> str:
    """The weather of a city."""
    return f"21 °{unit} in {city}"


class Record(pydantic.BaseModel):
    """What is known."""
    kind: Literal["a", "é"]
    size: Literal[1, 2, 30]


def model(running, **options):
    return ChatOpenAI(**{"base_url": f"{running.url}/v1", "api_key": running.api_key, "model": running.model, "max_retries": 0,
                         "temperature": 1, "seed": 3, "max_tokens": 400, "reasoning_effort": "none", **options})


def ask_for_weather(running, **options):
    return model(running, **options).bind_tools([get_weather], tool_choice="get_weather", strict=True, parallel_tool_calls=False)


def messages_sum(chunks):
    """As LangChain adds them up."""
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return total


PROMPT = [SystemMessage("Be brief."), HumanMessage("Go")]


def test_invoke_stream_and_batch_say_one_answer(qwq):
    llm = model(qwq, max_tokens=30, stream_usage=True)
    whole = llm.invoke(PROMPT)
    assert whole.content and whole.response_metadata["finish_reason"] in ("stop", "length")
    chunks = list(llm.stream(PROMPT))
    assert "".join(chunk.content for chunk in chunks) == whole.content
    assert len(chunks) > 3 and messages_sum(chunks).usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"]
    assert [answer.content for answer in llm.batch([PROMPT, PROMPT, PROMPT])] == [whole.content] * 3


def test_usage_is_the_ledgers(qwq):
    llm = model(qwq, max_tokens=20, extra_body={"reasoning": {"max_tokens": 5}}, reasoning_effort=None)
    usage = llm.invoke(PROMPT).usage_metadata
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["output_token_details"]["reasoning"] == 6 and usage["input_token_details"]["cache_read"] >= 0


async def _ainvoke_and_astream(llm):
    whole = await llm.ainvoke(PROMPT)
    return whole.content, "".join([chunk.content async for chunk in llm.astream(PROMPT)])


def test_the_same_asynchronously(qwq):
    import asyncio
    whole, streamed = asyncio.run(_ainvoke_and_astream(model(qwq, max_tokens=12)))
    assert whole == streamed == model(qwq, max_tokens=12).invoke(PROMPT).content


def test_a_call_whole_and_streamed_and_its_result(qwq):
    llm = ask_for_weather(qwq)
    whole = llm.invoke(PROMPT)
    [call] = whole.tool_calls
    assert call["name"] == "get_weather" and not whole.invalid_tool_calls and whole.response_metadata["finish_reason"] == "tool_calls"
    chunks = list(llm.stream(PROMPT))
    parts = [part for chunk in chunks for part in chunk.tool_call_chunks]
    assert parts[0]["name"] == "get_weather" and parts[0]["id"] and {part["index"] for part in parts} == {0}
    assert all(not part["name"] and not part["id"] for part in parts[1:]) and len(parts) > 3
    [streamed] = messages_sum(chunks).tool_calls
    assert streamed["args"] == call["args"] and json.loads("".join(part["args"] for part in parts)) == call["args"]
    turn = [*PROMPT, whole, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
    [second] = llm.invoke(turn).tool_calls
    assert second["id"] != call["id"]
    assert get_weather.invoke(second["args"])
    assert model(qwq, max_tokens=5).bind_tools([get_weather], tool_choice="none").invoke(turn).content


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(qwq, method):
    llm = model(qwq).with_structured_output(Record, method=method, strict=True, include_raw=True)
    whole = llm.invoke(PROMPT)
    assert isinstance(whole["parsed"], Record) and whole["parsing_error"] is None
    streamed = {}
    for part in llm.stream(PROMPT):
        streamed |= {name: value for name, value in part.items() if name != "raw"}
    assert streamed["parsed"] == whole["parsed"]
    parsed = model(qwq).with_structured_output(Record.model_json_schema(), method=method, strict=True).invoke(PROMPT)
    jsonschema.validate(parsed, Record.model_json_schema())


def test_reasoning_is_no_part_of_the_content(qwq):
    """Of chat completions it shows none; of Responses it does."""
    options = {"extra_body": {"reasoning": {"max_tokens": 9}}, "reasoning_effort": None, "max_tokens": 20}
    chat = model(qwq, **options).invoke(PROMPT)
    raw = qwq.openai().chat.completions.create(model=qwq.model, seed=3, temperature=1, max_tokens=20, extra_body=options["extra_body"],
                                               messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go"}])
    assert raw.choices[0].message.reasoning_content and chat.content == raw.choices[0].message.content
    streamed = "".join(chunk.content for chunk in model(qwq, **options).stream(PROMPT))
    assert streamed == chat.content


def test_responses(qwq):
    llm = model(qwq, use_responses_api=True, reasoning={"effort": "low"}, reasoning_effort=None, seed=None, temperature=0,
                max_tokens=40)
    whole = llm.invoke(PROMPT)
    assert whole.response_metadata["status"] in ("completed", "incomplete") and whole.usage_metadata["output_tokens"] > 0
    chunks = list(llm.stream(PROMPT))
    assert messages_sum(chunks).text == whole.text
