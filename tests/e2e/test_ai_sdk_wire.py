"""The Vercel AI SDK's wire forms: the requests of ai_sdk_requests.json, and answers held to what its parsers demand. They drop
an event whose shape is another without a word, so each is checked field by field."""
import http.client
import json
import urllib.parse

import jsonschema
import pytest

from system import ROOT

REQUESTS = json.loads((ROOT / "tests/e2e/ai_sdk_requests.json").read_text())
TEXT, NUMBER = {"type": "string"}, {"type": "number"}


def shape(required, **optional):
    """An object: what has to be there, and of what else may be there, and may be null, its type."""
    either = {name: {"anyOf": [{"type": "null"}, form]} for name, form in optional.items()}
    return {"type": "object", "properties": {**required, **either}, "required": list(required)}


def each(form):
    return {"type": "array", "items": form}


def word(*words):
    return {"enum": list(words)}


LOGPROBS = each(shape({"token": TEXT, "logprob": NUMBER, "top_logprobs": each(shape({"token": TEXT, "logprob": NUMBER}))}))
USAGE = shape({"prompt_tokens": NUMBER, "completion_tokens": NUMBER, "total_tokens": NUMBER},
              prompt_tokens_details=shape({}, cached_tokens=NUMBER), completion_tokens_details=shape({}, reasoning_tokens=NUMBER))
HEAD = {"id": TEXT, "created": NUMBER, "model": TEXT}
MESSAGE = shape({"role": word("assistant")}, content=TEXT, reasoning_content=TEXT, tool_calls=each(shape(
    {"id": TEXT, "type": word("function"), "function": shape({"name": TEXT, "arguments": TEXT})})))
WHOLE = shape({**HEAD, "choices": each(shape({"message": MESSAGE, "index": NUMBER, "finish_reason": TEXT},
                                             logprobs=shape({}, content=LOGPROBS))), "usage": USAGE})
DELTA = shape({}, role=word("assistant"), content=TEXT, reasoning_content=TEXT, tool_calls=each(shape(
    {"index": NUMBER, "function": shape({}, name=TEXT, arguments=TEXT)}, id=TEXT, type=word("function"))))
CHUNK = shape({**HEAD, "choices": each(shape({"index": NUMBER}, delta=DELTA, logprobs=shape({}, content=LOGPROBS),
                                             finish_reason=TEXT))}, usage=USAGE)
ERROR = shape({"error": shape({"message": TEXT}, type=TEXT, code=TEXT)})

USED = shape({"input_tokens": NUMBER, "output_tokens": NUMBER}, input_tokens_details=shape({}, cached_tokens=NUMBER),
             output_tokens_details=shape({}, reasoning_tokens=NUMBER))
ENDED = shape({"usage": USED}, incomplete_details=shape({"reason": TEXT}), service_tier=TEXT)
ITEMS = {"message": shape({"id": TEXT}), "reasoning": shape({"id": TEXT}, encrypted_content=TEXT),
         "function_call": shape({"id": TEXT, "call_id": TEXT, "name": TEXT, "arguments": TEXT})}
WHOLE_ITEMS = {**ITEMS, "message": shape({"id": TEXT, "role": word("assistant"), "content": each(
    shape({"type": word("output_text"), "text": TEXT, "annotations": {"maxItems": 0, "type": "array"}}))}),
    "reasoning": shape({"id": TEXT, "summary": each(shape({"type": word("summary_text"), "text": TEXT}))})}
EVENTS = {
    "response.created": shape({"response": shape({"id": TEXT, "created_at": NUMBER, "model": TEXT}, service_tier=TEXT)}),
    "response.output_item.added": shape({"output_index": NUMBER, "item": shape({"type": TEXT})}),
    "response.output_item.done": shape({"output_index": NUMBER, "item": shape({"type": TEXT})}),
    "response.output_text.delta": shape({"item_id": TEXT, "delta": TEXT}, logprobs=LOGPROBS),
    "response.function_call_arguments.delta": shape({"item_id": TEXT, "output_index": NUMBER, "delta": TEXT}),
    "response.completed": shape({"response": ENDED}), "response.incomplete": shape({"response": ENDED})}


def send(running, name, **changes):
    """(status, what came: JSON, or the events' data). CALL and ARGUMENTS may be given."""
    request = REQUESTS[name]
    fill = {"MODEL": running.model, **{key: value for key, value in changes.items() if key.isupper()}}

    def filled(value):
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        return [filled(inner) for inner in value] if isinstance(value, list) else fill.get(value, value) if isinstance(value, str) else value
    body = {**filled(request["body"]), **{key: value for key, value in changes.items() if not key.isupper()}}
    target = urllib.parse.urlparse(running.url)
    connection = http.client.HTTPConnection(target.hostname, target.port, timeout=300)
    connection.request("POST", request["path"], json.dumps(body), {
        "Content-Type": "application/json", "Authorization": f"Bearer {running.api_key}", "User-Agent": "ai-sdk/openai-compatible"})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    if not reply.headers["content-type"].startswith("text/event-stream"):
        return reply.status, json.loads(text)
    lines = [line[len("data: "):] for line in text.split("\n") if line.startswith("data: ")]
    return reply.status, [json.loads(line) for line in lines if line != "[DONE]"]


def whole(running, name, form=WHOLE, **changes):
    status, answer = send(running, name, **changes)
    assert status == 200, answer
    jsonschema.validate(answer, form)
    return answer


def streamed(running, name, **changes):
    status, chunks = send(running, name, stream=True, stream_options={"include_usage": True}, **changes)
    assert status == 200, chunks
    for chunk in chunks:
        jsonschema.validate(chunk, CHUNK)
    assert [chunk["usage"] is not None for chunk in chunks if "usage" in chunk][-1] and chunks[-1]["choices"] == []
    return [chunk["choices"][0] for chunk in chunks if chunk["choices"]], chunks[-1]["usage"]


def joined(choices, field):
    return "".join(choice["delta"].get(field) or "" for choice in choices)


@pytest.mark.parametrize("name", ["compatible_text", "compatible_reasoning", "openai_text"])
def test_text_and_reasoning(qwq, name):
    answer = whole(qwq, name)
    message = answer["choices"][0]["message"]
    choices, usage = streamed(qwq, name)
    assert joined(choices, "content") == message["content"]
    assert joined(choices, "reasoning_content") == message.get("reasoning_content", "")
    assert usage["completion_tokens"] == answer["usage"]["completion_tokens"]
    assert bool(message.get("reasoning_content")) == (name == "compatible_reasoning")
    reasons = [bool(choice["delta"].get("reasoning_content")) for choice in choices
               if choice["delta"].get("reasoning_content") or choice["delta"].get("content")]
    assert reasons == sorted(reasons, reverse=True), "its text parts begin where its reasoning ends"
    if name == "openai_text":
        entries = [entry for choice in choices for entry in (choice.get("logprobs") or {}).get("content") or []]
        assert len(answer["choices"][0]["logprobs"]["content"]) == len(entries) > 0
        assert all(len(entry["top_logprobs"]) == 2 for entry in entries)


def is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_calls_and_results(qwq):
    [call] = whole(qwq, "compatible_tools")["choices"][0]["message"]["tool_calls"]
    choices, _ = streamed(qwq, "compatible_tools")
    parts = [part for choice in choices for part in choice["delta"].get("tool_calls") or []]
    assert parts[0]["id"] and parts[0]["type"] == "function" and parts[0]["function"]["name"] == "get_weather"
    assert {part["index"] for part in parts} == {0}
    arguments = ""
    for part in parts:
        assert not is_json(arguments), "what comes behind whole arguments is dropped"
        arguments += part["function"]["arguments"]
    assert arguments == call["function"]["arguments"] and choices[-1]["finish_reason"] == "tool_calls"
    assert set(json.loads(arguments)) == {"city", "unit"}
    compact = json.dumps(json.loads(arguments), separators=(",", ":"))  # as JSON.stringify writes what it parsed
    answer = whole(qwq, "compatible_result", CALL=call["id"], ARGUMENTS=compact)
    assert answer["choices"][0]["finish_reason"] in ("stop", "length", "tool_calls")


def test_an_object(qwq):
    text = whole(qwq, "compatible_object")["choices"][0]["message"]["content"]
    assert json.loads(text)["kind"] in ("a", "b")
    choices, _ = streamed(qwq, "compatible_object")
    assert joined(choices, "content") == text


def response(running, name, **changes):
    answer = whole(running, name, shape({"id": TEXT, "created_at": NUMBER, "model": TEXT, "output": each(shape({"type": TEXT})),
                                         "usage": USED}, error=shape({}), incomplete_details=shape({"reason": TEXT})), **changes)
    for item in answer["output"]:
        jsonschema.validate(item, WHOLE_ITEMS[item["type"]])
    return answer


def events(running, name):
    status, chunks = send(running, name, stream=True)
    assert status == 200, chunks
    for chunk in chunks:
        if form := EVENTS.get(chunk["type"]):
            jsonschema.validate(chunk, form)
        if "output_item" in chunk["type"]:
            jsonschema.validate(chunk["item"], ITEMS[chunk["item"]["type"]])
    return chunks


def test_responses(qwq):
    answer = response(qwq, "responses_text")
    chunks = events(qwq, "responses_text")
    text = "".join(part["text"] for item in answer["output"] if item["type"] == "message" for part in item["content"])
    assert "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "response.output_text.delta") == text
    assert chunks[-1]["type"] == f"response.{answer['status']}"


def test_responses_calls_and_results(qwq):
    calls = [item for item in response(qwq, "responses_tools")["output"] if item["type"] == "function_call"]
    chunks = events(qwq, "responses_tools")
    done = [chunk["item"] for chunk in chunks if chunk["type"] == "response.output_item.done"
            and chunk["item"]["type"] == "function_call"]
    assert [(call["name"], call["arguments"], call["status"]) for call in done] == [
        (call["name"], call["arguments"], "completed") for call in calls] and len(calls) == 1
    deltas = [chunk["delta"] for chunk in chunks if chunk["type"] == "response.function_call_arguments.delta"]
    assert "".join(deltas) == calls[0]["arguments"]
    result = response(qwq, "responses_result", CALL=calls[0]["call_id"], ARGUMENTS=calls[0]["arguments"])
    assert result["usage"]["output_tokens"] > 0


def test_what_is_stored_nowhere_is_refused_by_its_place(qwq):
    """What it sends of an answer in its second turn unless `store` is false."""
    status, answer = send(qwq, "responses_stored")
    assert status == 422 and answer["error"]["param"].startswith("input.1"), answer
    jsonschema.validate(answer, ERROR)


def test_errors(qwq):
    for changes, code in (({"temperature": 3}, "invalid_value"), ({"model": "none"}, "model_not_found"),
                          ({"messages": [{"role": "user", "content": "word " * 9000}]}, "context_length_exceeded")):
        for stream in (False, True):
            status, answer = send(qwq, "compatible_text", stream=stream, **changes)
            assert status >= 400 and answer["error"]["code"] == code
            jsonschema.validate(answer, ERROR)
