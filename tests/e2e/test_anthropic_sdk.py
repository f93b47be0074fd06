"""The unmodified anthropic SDK against the running system: POST /v1/messages and count_tokens."""
from decimal import Decimal

import anthropic
import pytest

TURN = [{"role": "user", "content": "Count to five."}]


@pytest.fixture(params=["", "/anthropic"])
def client(system, request):
    return anthropic.Anthropic(base_url=system.url + request.param, api_key=system.api_key, max_retries=0)


# Fields that this SDK names no more go as they are.
GREEDY = {"temperature": 0}


def ask(client, running, /, **fields):
    return client.messages.create(**{"model": running.model, "max_tokens": 24, "messages": TURN, "extra_body": GREEDY, **fields})


def test_a_message(client, system):
    message = ask(client, system, system=[{"type": "text", "text": "You are brief.", "cache_control": {"type": "ephemeral"}}],
                  metadata={"user_id": "ada"}, tools=[])
    assert message.type == "message" and message.role == "assistant" and message.model == system.model
    assert [block.type for block in message.content] == ["text"]
    assert message.stop_reason in ("end_turn", "max_tokens") and message.stop_sequence is None
    assert message.usage.input_tokens > 0 and 0 < message.usage.output_tokens <= 24
    assert message._request_id and message.id == "msg_" + message._request_id


def test_a_stream_is_the_message(client, system):
    whole = ask(client, system)
    with client.messages.stream(model=system.model, max_tokens=24, messages=TURN, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == whole.content[0].text == message.content[0].text and len(message.content) == 1
    assert message.stop_reason == whole.stop_reason
    assert (message.usage.input_tokens, message.usage.output_tokens) == (whole.usage.input_tokens, whole.usage.output_tokens)
    kinds = [event.type for event in ask(client, system, stream=True)]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_the_answer_is_the_chat_doors(client, system):
    chat = system.openai().chat.completions.create(model=system.model, max_tokens=24, temperature=0, messages=TURN)
    message = ask(client, system)
    assert message.content[0].text == chat.choices[0].message.content
    assert message.usage.input_tokens == chat.usage.prompt_tokens
    extra = message.usage.model_extra["quire"]
    if extra["cached_tokens"] == chat.usage.prompt_tokens_details.cached_tokens:
        assert Decimal(repr(extra["estimated_cost"])) == Decimal(repr(chat.usage.estimated_cost))


def test_counting_is_what_an_answer_reads(client, system):
    fields = {"system": "You are brief.", "messages": TURN}
    counted = client.messages.count_tokens(model=system.model, **fields)
    assert counted.input_tokens == ask(client, system, max_tokens=1, **fields).usage.input_tokens


def test_cached_tokens_are_told_apart_where_a_cache_was_asked_for(client, system):
    turn = [{"role": "user", "content": [{"type": "text", "text": "word " * 100, "cache_control": {"type": "ephemeral"}}]}]
    counted = client.messages.count_tokens(model=system.model, messages=turn).input_tokens
    ask(client, system, messages=turn, max_tokens=1)
    usage = ask(client, system, messages=turn, max_tokens=1).usage
    assert usage.cache_read_input_tokens > 0 and usage.input_tokens + usage.cache_read_input_tokens == counted


def test_a_stop_sequence(client, system):
    whole = ask(client, system).content[0].text
    cut = ask(client, system, stop_sequences=["never in it", whole[4:9]])
    assert (cut.stop_reason, cut.stop_sequence, cut.content[0].text) == ("stop_sequence", whole[4:9], whole[:4])


def test_a_last_answer_is_continued(client, system):
    whole = ask(client, system).content[0].text
    begun = [*TURN, {"role": "assistant", "content": [{"type": "text", "text": whole[:5]}]}]
    assert ask(client, system, messages=begun).content[0].text


def test_errors_are_the_sdks_own(client, system):
    with pytest.raises(anthropic.AuthenticationError):
        ask(client.with_options(api_key="sk-quire-wrong"), system)
    with pytest.raises(anthropic.NotFoundError) as not_found:
        ask(client, system, model="none")
    assert not_found.value.body["error"]["type"] == "not_found_error" and not_found.value.request_id
    for fields, place in (({"extra_body": {"temperature": 3}}, "temperature"), ({"extra_body": {"top_k": -1}}, "top_k"),
                          ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
                           "messages.0.content.0.type"),
                          ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type")):
        with pytest.raises(anthropic.BadRequestError) as bad:
            ask(client, system, **fields)
        assert bad.value.body["error"]["type"] == "invalid_request_error" and place in bad.value.body["error"]["message"]
