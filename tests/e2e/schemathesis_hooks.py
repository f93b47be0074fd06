"""What schemathesis loads beside /openapi.json (test_schemathesis.py): requests are aimed at the model that is there, and the
findings that JSON Schema can't help are left out, each by what was said to it."""
import os

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

MODEL = os.environ["QUIRE_TEST_MODEL"]
LIMITS = {"createChatCompletion": "max_tokens", "createCompletion": "max_tokens", "createInference": "max_new_tokens",
          "createResponse": "max_output_tokens", "createMessage": "max_tokens"}
OTHER_LIMITS = ("min_tokens", "max_completion_tokens", "thinking")

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
    "the prompt is empty": "a text of which there are no tokens",
    # items of a list that belong together
    "another tool has this name": "names that differ",
    "no tool of \"tools\" has this name": "a name among others",
    "no tool has this name": "a name among others",
    "another tool call of this message has the same id": "ids that differ",
    "another call has this id": "ids that differ",
    "a last assistant message is continued, and tool calls can't be": "the last of a list",
    "a tool_use can't be continued": "the last of a list",
    "give a message before the assistant's that is to be continued": "a list of one that is continued",
    "reasoning alone is no prompt": "instructions beside input",
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
# Where nothing is generated no grammar is made of a schema, whatever it is.
NO_ANSWER = {"/v1/tokenize", "/v1/apply-template", "/v1/messages/count_tokens"}
UNSAID_CODES = {"invalid_schema": "a schema, an expression or a grammar within the body",
                "context_length_exceeded": "the model's context"}


@schemathesis.hook
def before_call(context, case, kwargs):
    """At the model that is there, and at answers of two tokens. A body that says more of its length is validated, and its model
    isn't found."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    body, limit = case.body, LIMITS.get(case.operation.definition.raw.get("operationId"))
    is_long = isinstance(body, dict) and any(body.get(name) is not None for name in OTHER_LIMITS)
    model = "no-such-model" if is_long else MODEL
    if case.path_parameters:
        case.path_parameters = {"model": model}
    if isinstance(body, dict) and body:
        body = {name: value for name, value in body.items() if name != "webhook"}  # nobody made up is called
        case.body = {**body, **({"model": model} if "model" in body else {}), **({} if is_long or not limit else {limit: 2})}


def is_unsaid(response):
    error = response.json()["error"]
    return error.get("code") in UNSAID_CODES or any(text in error["message"] for text in UNSAID)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if response.status_code == 501:
        return case.method not in UNKNOWN_METHODS
    if isinstance(failure, RejectedPositiveData):
        return not is_unsaid(response)
    if isinstance(failure, AcceptedNegativeData) and case.operation.path in NO_ANSWER:
        return " -> schema: " not in failure.message
    return True
