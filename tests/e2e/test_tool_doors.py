"""Tools, reasoning and forms over the doors beside chat completions, by their own unmodified clients: gRPC, Messages and
Responses. A tiny random model is held to its calls by their grammar, so what every door says of one seed is known by the others."""
import json

import anthropic
import grpc
import pytest

from test_grpc_api import key, messages, services
from test_tools import QUESTION, TOOLS, check, put_together

pytestmark = pytest.mark.tiny
WEATHER = TOOLS[0]["function"]


@pytest.fixture(scope="module")
def stub(qwq):
    with grpc.insecure_channel(json.loads((qwq.data / "run/gateway").read_text())["grpc"]) as channel:
        yield services.ChatStub(channel)


# ---- gRPC ----

def call_request(running, choice="required", **fields):
    request = messages.ChatRequest(model=running.model, **{"max_tokens": 400, "temperature": 1, "seed": 4,
                                                           "parallel_tool_calls": False, **fields})
    request.messages.add(role="user", content=QUESTION[0]["content"])
    for tool in TOOLS:
        function = tool["function"]
        request.tools.add(name=function["name"], description=function.get("description"), strict=function["strict"],
                          parameters_json=json.dumps(function["parameters"]))
    if choice in ("required", "auto", "none"):
        request.tool_choice.mode = choice
    else:
        request.tool_choice.function = choice
    return request


def over_http(running, choice="required", **fields):
    if choice not in ("required", "auto", "none"):
        choice = {"type": "function", "function": {"name": choice}}
    return running.openai().chat.completions.create(**{
        "model": running.model, "messages": QUESTION, "tools": TOOLS, "tool_choice": choice, "max_tokens": 400, "temperature": 1,
        "seed": 4, "parallel_tool_calls": False, **fields})


def calls_of(stream):
    """(content, reasoning, [[id, name, arguments]], finish_reason) of chunks over gRPC, by index."""
    content, reasoning, calls, finish = "", "", [], ""
    for chunk in stream:
        assert not finish or not (chunk.content or chunk.HasField("tool_call")), "nothing after the end"
        content, reasoning, finish = content + chunk.content, reasoning + chunk.reasoning_content, finish or chunk.finish_reason
        if not chunk.HasField("tool_call"):
            continue
        part = chunk.tool_call
        if part.index == len(calls):
            assert part.id and part.name
            calls.append([part.id, part.name, part.arguments_json])
        else:
            assert part.index == len(calls) - 1 and not part.id and not part.name
            calls[-1][2] += part.arguments_json
    return content, reasoning, calls, finish


@pytest.mark.parametrize("choice, fields", [
    ("required", {}), ("get_weather", {"seed": 5}), ("now", {"seed": 6}), ("auto", {"seed": 7, "max_tokens": 60}),
    ("none", {"seed": 8, "max_tokens": 40}), ("required", {"seed": 9, "parallel_tool_calls": True}),
    ("required", {"seed": 10, "max_tokens": 20})])
def test_one_answer_over_http_and_grpc(qwq, stub, choice, fields):
    http = over_http(qwq, choice, **fields).choices[0]
    whole = stub.Chat(call_request(qwq, choice, **fields), metadata=key(qwq)).choices[0]
    content, reasoning, calls, finish = calls_of(stub.ChatStream(call_request(qwq, choice, **fields), metadata=key(qwq)))
    assert whole.finish_reason == finish == http.finish_reason
    assert whole.content == content == (http.message.content or "")
    assert whole.reasoning_content == reasoning == (getattr(http.message, "reasoning_content", None) or "")
    said = [(call.function.name, call.function.arguments) for call in http.message.tool_calls or []]
    assert [(call.name, call.arguments_json) for call in whole.tool_calls] == said == [(name, text) for _, name, text in calls]
    assert len({call.id for call in whole.tool_calls}) == len(said) and all(call.id.startswith("call_") for call in whole.tool_calls)
    if finish == "tool_calls":
        assert said
        for call in http.message.tool_calls:
            check(call)


def test_a_tools_result_over_grpc(qwq, stub):
    request = call_request(qwq)
    [call] = stub.Chat(request, metadata=key(qwq)).choices[0].tool_calls
    turn = request.messages.add(role="assistant")
    turn.tool_calls.add(id=call.id, name=call.name, arguments_json=call.arguments_json)
    request.messages.add(role="tool", tool_call_id=call.id, content="21 °C")
    [second] = stub.Chat(request, metadata=key(qwq)).choices[0].tool_calls
    history = [*QUESTION, {"role": "assistant", "tool_calls": [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}]},
        {"role": "tool", "tool_call_id": call.id, "content": "21 °C"}]
    [http] = over_http(qwq, messages=history).choices[0].message.tool_calls
    assert (second.name, second.arguments_json) == (http.function.name, http.function.arguments)
    request.messages[-1].tool_call_id = "call_of_nobody"
    with pytest.raises(grpc.RpcError) as refused:
        stub.Chat(request, metadata=key(qwq))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "messages.2.tool_call_id" in refused.value.details()


def test_a_form_and_a_budget_of_reasoning_over_grpc(qwq, stub):
    schema = {"type": "object", "properties": {"kind": {"enum": ["a", "é"]}}, "required": ["kind"], "additionalProperties": False}
    request = messages.ChatRequest(model=qwq.model, max_tokens=200, temperature=1, seed=2, reasoning_max_tokens=6)
    request.messages.add(role="user", content="Go")
    request.response_format.type = "json_schema"
    request.response_format.json_schema.schema_json = json.dumps(schema)
    answer = stub.Chat(request, metadata=key(qwq))
    http = qwq.openai().chat.completions.create(
        model=qwq.model, messages=[{"role": "user", "content": "Go"}], max_tokens=200, temperature=1, seed=2,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        extra_body={"reasoning": {"max_tokens": 6}})
    assert answer.choices[0].content == http.choices[0].message.content and json.loads(answer.choices[0].content)["kind"] in "aé"
    assert answer.choices[0].reasoning_content == http.choices[0].message.reasoning_content
    assert answer.usage.reasoning_tokens == http.usage.completion_tokens_details.reasoning_tokens == 7


def test_what_a_model_can_is_said_alike(qwq, stub):
    [model] = stub.ListModels(messages.ListModelsRequest(), metadata=key(qwq)).models
    http = qwq.openai().models.retrieve(qwq.model).model_dump()
    assert {name: getattr(model.capabilities, name) for name in http["capabilities"]} == http["capabilities"]
    assert http["capabilities"]["tools"] and http["capabilities"]["reasoning"]
    assert model.dtype == http["dtype"]


# ---- Messages ----

CLAUDE_TOOLS = [{"name": tool["function"]["name"], "input_schema": tool["function"]["parameters"]} for tool in TOOLS]


def ask_claude(running, **fields):
    client = anthropic.Anthropic(base_url=running.url, api_key=running.api_key, max_retries=0)
    fields = {"model": running.model, "max_tokens": 400, "messages": QUESTION, "tools": CLAUDE_TOOLS,
              "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
              "extra_body": {"temperature": 1, "seed": 4}, **fields}
    if fields.pop("stream", False):
        with client.messages.stream(**fields) as stream:
            return list(stream), stream.get_final_message()
    return client.messages.create(**fields)


def uses(message):
    return [block for block in message.content if block.type == "tool_use"]


@pytest.mark.parametrize("fields", [
    {}, {"tool_choice": {"type": "tool", "name": "get_weather"}}, {"tool_choice": {"type": "tool", "name": "now"}},
    {"tool_choice": {"type": "any"}, "extra_body": {"temperature": 1, "seed": 9}}])
def test_a_use_streamed_and_whole(qwq, fields):
    whole = ask_claude(qwq, **fields)
    events, message = ask_claude(qwq, stream=True, **fields)
    assert whole.stop_reason == message.stop_reason == "tool_use"
    assert [(block.name, block.input) for block in uses(message)] == [(block.name, block.input) for block in uses(whole)] != []
    assert [block.type for block in message.content] == [block.type for block in whole.content]
    for block in uses(whole):
        assert block.id and (block.input == {} if block.name == "now" else set(block.input) == {"city", "unit"})
    pieces = [event.partial_json for event in events if event.type == "input_json"]
    assert json.loads("".join(pieces) or "{}") == uses(message)[0].input or len(uses(message)) > 1


def test_a_uses_result(qwq):
    first = ask_claude(qwq)
    [use] = uses(first)
    history = [*QUESTION, {"role": "assistant", "content": [block.model_dump() for block in first.content]},
               {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "21 °C"},
                                            {"type": "text", "text": "And tomorrow?"}]}]
    [second] = uses(ask_claude(qwq, messages=history))
    assert second.id != use.id
    error = [*history[:-1], {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "is_error": True,
                                                          "content": [{"type": "text", "text": "no such city"}]}]}]
    assert uses(ask_claude(qwq, messages=error))
    history[-1]["content"][0]["tool_use_id"] = "toolu_of_nobody"
    with pytest.raises(anthropic.BadRequestError, match="messages.2"):
        ask_claude(qwq, messages=history)


def test_thinking_is_a_block_before_the_use(qwq):
    fields = {"thinking": {"type": "enabled", "budget_tokens": 8}, "tool_choice": {"type": "auto"}, "max_tokens": 60}
    whole = ask_claude(qwq, **fields)
    _, message = ask_claude(qwq, stream=True, **fields)
    assert whole.content[0].type == message.content[0].type == "thinking"
    assert whole.content[0].thinking == message.content[0].thinking != ""


def test_the_use_is_the_chat_doors_call(qwq):
    [use] = uses(ask_claude(qwq, tools=[{**CLAUDE_TOOLS[0], "description": WEATHER["description"], "strict": True},
                                        {**CLAUDE_TOOLS[1], "strict": True}]))
    [call] = over_http(qwq).choices[0].message.tool_calls
    assert (use.name, use.input) == (call.function.name, json.loads(call.function.arguments))


# ---- Responses ----

def respond(running, **fields):
    return running.openai().responses.create(**{
        "model": running.model, "input": QUESTION, "max_output_tokens": 400, "temperature": 1, "parallel_tool_calls": False,
        "tools": [{"type": "function", **tool["function"]} for tool in TOOLS], "tool_choice": "required",
        "extra_body": {"seed": 4}, **fields})


def calls_in(output):
    return [item for item in output if item.type == "function_call"]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}, {"type": "function", "name": "now"}])
def test_a_function_call_streamed_and_whole(qwq, choice):
    [call] = calls_in(respond(qwq, tool_choice=choice).output)
    events = list(respond(qwq, tool_choice=choice, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    [streamed] = calls_in(last.response.output)
    assert (streamed.name, streamed.arguments, streamed.status) == (call.name, call.arguments, "completed")
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    [done] = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert "".join(deltas) == done.arguments == call.arguments
    http = over_http(qwq, choice if isinstance(choice, str) else choice["name"]).choices[0].message.tool_calls[0]
    assert (call.name, call.arguments) == (http.function.name, http.function.arguments)


def test_a_function_calls_output(qwq):
    first = respond(qwq)
    [call] = calls_in(first.output)
    items = [*QUESTION, *[item.model_dump(exclude_none=True) for item in first.output],
             {"type": "function_call_output", "call_id": call.call_id, "output": "21 °C"}]
    [second] = calls_in(respond(qwq, input=items).output)
    assert second.call_id != call.call_id
    http = over_http(qwq, messages=[
        *QUESTION, {"role": "assistant", "tool_calls": [{"id": call.call_id, "type": "function", "function": {
            "name": call.name, "arguments": call.arguments}}]}, {"role": "tool", "tool_call_id": call.call_id, "content": "21 °C"}])
    assert second.arguments == http.choices[0].message.tool_calls[0].function.arguments
    with pytest.raises(Exception, match="call_id") as refused:
        respond(qwq, input=[*items[:-1], {**items[-1], "call_id": "call_of_nobody"}])
    assert refused.value.status_code == 422


def test_the_sdks_helpers_parse_what_came(qwq):
    """The openai SDK's `parse` of chat and of Responses, and its stream helpers beside them."""
    import pydantic

    class Record(pydantic.BaseModel):
        on: bool
    chat = qwq.openai().chat.completions.parse(model=qwq.model, messages=[{"role": "user", "content": "Go"}], response_format=Record,
                                               max_tokens=100, temperature=1, seed=3, extra_body={"reasoning_effort": "none"})
    assert isinstance(chat.choices[0].message.parsed, Record)
    response = qwq.openai().responses.parse(model=qwq.model, input="Go", text_format=Record, max_output_tokens=100, temperature=1,
                                            reasoning={"effort": "none"}, extra_body={"seed": 3})
    assert response.output_parsed == chat.choices[0].message.parsed
    with qwq.openai().responses.stream(model=qwq.model, input="Go", text_format=Record, max_output_tokens=100, temperature=1,
                                       reasoning={"effort": "none"}, extra_body={"seed": 3}) as stream:
        list(stream)
        assert stream.get_final_response().output_parsed == response.output_parsed
    with qwq.openai().chat.completions.stream(model=qwq.model, messages=QUESTION, response_format=Record, max_tokens=100, temperature=1,
                                              seed=3, extra_body={"reasoning": {"max_tokens": 5}}) as stream:
        kinds = {event.type for event in stream}
        assert {"content.delta", "content.done", "chunk"} <= kinds
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Record)


def test_a_function_of_python_is_a_tool(qwq):
    """pydantic_function_tool: the SDK's own schema, and its parsed arguments."""
    import openai
    import pydantic

    class Look(pydantic.BaseModel):
        """Looks at a place."""
        at: bool
    answer = qwq.openai().chat.completions.parse(model=qwq.model, messages=QUESTION, tools=[openai.pydantic_function_tool(Look)],
                                                 tool_choice="required", max_tokens=400, temperature=1, seed=3,
                                                 parallel_tool_calls=False)
    assert isinstance(answer.choices[0].message.tool_calls[0].function.parsed_arguments, Look)
    content, _, [call], finish = put_together(qwq.openai().chat.completions.create(
        model=qwq.model, messages=QUESTION, tools=[openai.pydantic_function_tool(Look)], tool_choice="required", max_tokens=400,
        temperature=1, seed=3, parallel_tool_calls=False, stream=True))
    assert (content, finish, call[1]) == ("", "tool_calls", "Look")
    assert call[2] == answer.choices[0].message.tool_calls[0].function.arguments
