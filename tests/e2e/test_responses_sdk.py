"""The unmodified openai SDK's Responses API against the running system."""
import openai
import pytest


def ask(system, **fields):
    return system.openai().responses.create(**{"model": system.model, "max_output_tokens": 24, "temperature": 0,
                                               "input": "Count to five.", **fields})


def test_a_response_is_the_chat_doors_answer(system):
    chat = system.openai().chat.completions.create(model=system.model, max_tokens=24, temperature=0,
                                                   messages=[{"role": "user", "content": "Count to five."}])
    response = ask(system, metadata={"a": "b"})
    assert response.output_text == chat.choices[0].message.content
    assert response.status == ("completed" if chat.choices[0].finish_reason == "stop" else "incomplete")
    assert [item.type for item in response.output] == ["message"] and response.metadata == {"a": "b"}
    assert (response.usage.input_tokens, response.usage.output_tokens) == (chat.usage.prompt_tokens, chat.usage.completion_tokens)


def test_a_stream_is_the_response(system):
    whole = ask(system)
    with system.openai().responses.stream(model=system.model, max_output_tokens=24, temperature=0,
                                          input="Count to five.") as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text
    last = events[-1]
    assert last.type == f"response.{whole.status}" and last.response.output[0].content[0].text == text
    assert last.response.usage.output_tokens == whole.usage.output_tokens


def test_a_conversation_goes_on_with_the_answers_own_items(system):
    first = ask(system)
    items = [{"role": "user", "content": "Count to five."}, *[item.model_dump() for item in first.output],
             {"role": "user", "content": "And on to ten."}]
    assert ask(system, input=items, instructions="You are brief.").usage.input_tokens > first.usage.input_tokens


def test_state_is_refused(system):
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        ask(system, previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"
