"""What schemathesis loads beside /openapi.json (test_schemathesis.py): requests are aimed at the model that is there, and the
findings that JSON Schema can't help are left out, each by what was said to it."""
import os
import re

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData

MODEL = os.environ["QUIRE_TEST_MODEL"]
LIMITS = {"createChatCompletion": "max_tokens", "createCompletion": "max_tokens", "createInference": "max_new_tokens",
          "createResponse": "max_output_tokens", "createMessage": "max_tokens"}
OTHER_LIMITS = ("min_tokens", "max_completion_tokens", "thinking")
SHORT = {**dict.fromkeys([*LIMITS.values(), "max_completion_tokens", "min_tokens"], 2), "budget_tokens": 1}

# What JSON Schema can't say: requests that it allows and that are refused all the same, by what is then said.
UNSAID = {
    # several fields have to agree
    "it says something else than": "two names of one field",
    "another field says the opposite": "several fields for one wish",
    "give at most max_tokens": "min_tokens beside max_tokens",
    "give less than max_tokens": "budget_tokens beside max_tokens",
    "give it or output_format, not both": "two fields for one wish",
    "leave it out, or give what n is": "best_of beside n",
    "give at most 16 strings": "stop and stop_sequences together",
    # the model's vocabulary, and how it is read
    "is not in this model's vocabulary": "ids of the model's vocabulary",
    "every key is a token id": "a key's pattern can't bound the number that it is",
    # items of a list that belong together
    "another tool has this name": "names that differ",
    "no tool of \"tools\" has this name": "a name among others",
    "another tool call of this message has the same id": "ids that differ",
    "another call has this id": "ids that differ",
    "a last assistant message is continued, and tool calls can't be": "the last of a list",
    "a tool_use can't be continued": "the last of a list",
    "give a message before the assistant's that is to be continued": "a list of one that is continued",
    "reasoning alone is no prompt": "instructions beside input",
    "reasoning_content: give a string": "the last of a list: earlier ones may be anything",
    "reasoning: give a string": "the last of a list: earlier ones may be anything",
    "give the tool's result in a message of the role": "results that belong to calls",
    "the assistant message before these tool results has no such": "results that belong to calls",
    "the message before has no tool_use of that id": "results that belong to calls",
    "each tool_use of the message before needs": "results that belong to calls",
    "each function_call needs a function_call_output": "results that belong to calls",
    "no function_call before it has this id": "results that belong to calls",
    "its result was given before": "results that belong to calls",
    "its output was given before": "results that belong to calls",
    # a language within a string
    "the string is no JSON object": "JSON within a string",
    "the string is JSON, but no object": "JSON within a string",
    "grammar: EBNF ": "a grammar, which a worker reads",
    # what errors in Anthropic's words have no code for
    "but this model's context is": "the model's context",
    "output_format.schema": "a schema within the body",
    "output_config.format.schema": "a schema within the body",
    ".input_schema": "a schema within the body",
}
# RFC 9110, 15.6.2: a method that the server does not know is a 501. This one is newer than it.
UNKNOWN_METHODS = {"QUERY"}
UNSAID_CODES = {"invalid_schema": "a schema, an expression or a grammar within the body",
                "context_length_exceeded": "the model's context"}


def is_negative(case, location):
    component = case.meta.components.get(location)
    return component is not None and component.mode.is_negative


def names_a_model(body):
    return isinstance(body, dict) and isinstance(body.get("model"), str) and 0 < len(body["model"].encode()) <= 256


def shortened(body):
    """Lengths that are none but too long for a test; what is no length stays."""
    def of(name, value):
        if name == "thinking" and isinstance(value, dict):
            return shortened(value)
        is_number = name in SHORT and isinstance(value, (int, float)) and not isinstance(value, bool)
        return min(value, SHORT[name]) if is_number and 1 <= value <= 1_000_000 and value == int(value) else value
    return {name: of(name, value) for name, value in body.items()}


def at_nobody(case, body):
    """A webhook that the document allows goes where none may go: all that its URL says beside the host stands."""
    url = body.get("webhook")
    allowed = case.operation.schema.raw_schema["components"]["schemas"]["InferenceRequest"]["properties"]["webhook"]["pattern"]
    if not isinstance(url, str) or not re.fullmatch(allowed, url):
        return body
    return {**body, "webhook": re.sub("(?<=//)[^/?:]+", "localhost", url, count=1)}


def aim(case, model, body):
    if case.path_parameters and not is_negative(case, ParameterLocation.PATH):
        case.path_parameters = {"model": model}
    if isinstance(body, dict) and body:
        case.body = {**at_nobody(case, body), **({"model": model} if names_a_model(body) else {})}


def aim_allowed(case, body, limit):
    """At the model that is there, and at answers of two tokens. A body that says more of its length is validated, and its model
    isn't found."""
    is_long = isinstance(body, dict) and any(body.get(name) is not None for name in OTHER_LIMITS)
    is_short = isinstance(body, dict) and body and limit and not is_long
    aim(case, "no-such-model" if is_long else MODEL, {**body, limit: 2} if is_short else body)


def aim_forbidden(case, body):
    """At the model that is there, so that what is refused is what the document forbids; all else stays as it is, but for lengths."""
    aim(case, MODEL, shortened(body) if isinstance(body, dict) else body)


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None:
        return
    if is_negative(case, ParameterLocation.BODY):
        aim_forbidden(case, case.body)
    else:
        aim_allowed(case, case.body, LIMITS.get(case.operation.definition.raw.get("operationId")))


@schemathesis.check
def a_made_up_model_refuses_nothing(ctx, response, case):
    """What the document forbids in a body is refused for itself, by a server that has the model."""
    if case.meta is None or not is_negative(case, ParameterLocation.BODY) or response.status_code != 404:
        return
    in_path = bool(case.path_parameters) and not is_negative(case, ParameterLocation.PATH)
    assert not in_path and not names_a_model(case.body), "the model was not there"


def is_text_without_tokens(error, body):
    """Of a text only its tokenizer knows whether it has some; of ids the document says so."""
    if not error["message"].endswith("the prompt is empty"):
        return False
    _, _, index = error["param"].partition(".")
    return isinstance(body["prompt"][int(index)] if index else body["prompt"], str)


def is_unsaid(case, response):
    error = response.json()["error"]
    return (error.get("code") in UNSAID_CODES or any(text in error["message"] for text in UNSAID)
            or is_text_without_tokens(error, case.body))


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if response.status_code == 501:
        return case.method not in UNKNOWN_METHODS
    if isinstance(failure, RejectedPositiveData):
        return not is_unsaid(case, response)
    return True
