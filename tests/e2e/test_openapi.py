"""/openapi.json against the running system: real answers of every door, streamed and not, are what it says, and schemathesis
finds nothing that it says wrongly."""
import json
import re
import subprocess

import jsonschema
import pytest

from generated import tiny_qwq
from openapi_document import Document
from system import BIN, ROOT, System, http, until
from test_webhooks import Receiver, make_certificates

pytestmark = pytest.mark.tiny


@pytest.fixture(scope="module")
def receiver(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ca")
    make_certificates(folder)
    made = Receiver(folder)
    made.ca = folder / "ca.pem"
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def system(tmp_path_factory, receiver):
    with System(tiny_qwq(tmp_path_factory.mktemp("model")), webhook_allow=f"localhost:{receiver.port}", webhook_ca=receiver.ca) as running:
        yield running


@pytest.fixture(scope="module")
def document(system):
    return Document(system)


# ---- the document ----

def test_it_is_public_and_says_its_version(system, document):
    assert document.json["openapi"] == "3.1.0"
    version = subprocess.run([BIN / "quire-gateway", "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert document.json["info"]["version"] in version
    assert system.model not in json.dumps(document.json)


def test_who_has_it_is_told_so(system, document):
    def get(*headers):
        command = ["curl", "-s", "-D", "-", "-o", "/dev/null", *headers, f"{system.url}/openapi.json"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.lower()
    etag = re.search(r"etag: (\S+)", get())[1]
    responses = document.json["paths"]["/openapi.json"]["get"]["responses"]
    for known, status in ((etag, "304"), ('"other"', "200")):
        said = get("-H", f"If-None-Match: {known}")
        assert said.startswith(f"http/1.1 {status}")
        required = {name for name, header in responses[status]["headers"].items() if header["required"]}
        assert {"x-request-id", "etag"} <= required == {name for name in required if f"\n{name}: " in said}


def test_what_can_go_wrong_with_every_request_stands_with_each(document):
    for path, _, operation in document.operations():
        assert {"400", "408", "500", "503"} <= operation["responses"].keys(), path


def test_its_schemas_are_schemas(document):
    for name, schema in document.json["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        for example in schema.get("examples", []):
            document.check({"$ref": f"#/components/schemas/{name}"}, example)


def test_aliases_are_the_same_operation(system, document):
    """Every path of it is there, and in its operation's own words: asked without a body, or for what there isn't."""
    paths = 0
    for path, method, operation in document.operations():
        for alias in [path, *operation.get("x-aliases", [])]:
            url = system.url + alias.replace("{model}", system.model)
            status, answer = http(method.upper(), url, system.api_key, None if method == "get" else [])
            if method == "get":
                assert status == 200, alias
            else:
                assert status == 400 and "must be a JSON object" in answer["error"]["message"], alias
            paths += 1
    assert paths == 30


def test_every_operations_request_has_its_line(system, document):
    """As the document says of x-request-id."""
    ids = {}
    for path, method, _ in document.operations():
        _, headers, _ = document.send(path.replace("{model}", system.model), None if method == "get" else {})
        ids[path] = headers["x-request-id"]
    until("the line of each", lambda: all(id in "".join(log.read_text() for log in system.data.glob("logs/gateway*"))
                                          for id in ids.values()))


# ---- answers ----

MESSAGES = [{"role": "user", "content": "What is the weather in Paris?"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "parameters": PARAMETERS}
TOOLS = {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required"}
REASONS = {"reasoning": {"enabled": True, "max_tokens": 6}}
SCHEMA = {"name": "city", "schema": PARAMETERS}

ANSWERS = [
    ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 12}),
    ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 40, "n": 2, "logprobs": True, "top_logprobs": 3, **REASONS}),
    ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 200, "logprobs": True, "top_logprobs": 2, **TOOLS, **REASONS}),
    ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 90, "reasoning_effort": "none",
                              "response_format": {"type": "json_schema", "json_schema": SCHEMA}}),
    ("/v1/completions", {"prompt": "One, two,", "max_tokens": 8}),
    ("/v1/completions", {"prompt": ["One", [5, 6]], "max_tokens": 8, "n": 2, "logprobs": 2}),
    ("/v1/completions", {"prompt": "One", "max_tokens": 8, "logprobs": 0, "return_tokens_as_token_ids": True}),
    ("/v1/completions", {"prompt": "One", "max_tokens": 8, "echo": True}),
    ("/v1/completions", {"prompt": "One two", "max_tokens": 2, "echo": True, "logprobs": 2}),
    ("/v1/completions", {"prompt": "One two", "max_tokens": 0, "echo": True, "logprobs": 0, "n": 2}),
    ("/v1/inference/{model}", {"input": "One, two,", "max_new_tokens": 8}),
    ("/v1/responses", {"input": "Hello", "max_output_tokens": 12, "metadata": {"a": "b"}, "user": "u"}),
    ("/v1/responses", {"input": "Hello", "max_output_tokens": 30, "top_logprobs": 2, "reasoning": {"effort": "minimal"}}),
    ("/v1/responses", {"input": "Hello", "max_output_tokens": 200, "reasoning": {"effort": "none"}, "tool_choice": "required",
                       "tools": [{"type": "function", **FUNCTION}]}),
    ("/v1/responses", {"input": "Hello", "max_output_tokens": 90, "reasoning": {"effort": "none"},
                       "text": {"format": {"type": "json_schema", **SCHEMA}}}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 12}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 60, "thinking": {"type": "enabled", "budget_tokens": 6}}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 200, "thinking": {"type": "disabled"}, "tool_choice": {"type": "any"},
                      "tools": [{"name": "get_weather", "input_schema": PARAMETERS}]}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 60, "loop_guard": True, "stop_sequences": ["a", "e", "i", "o"]}),
]


def said(answer):
    return json.dumps(answer)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path, fields", ANSWERS, ids=[f"{i}{path.replace('/v1', '')}" for i, (path, _) in enumerate(ANSWERS)])
def test_an_answer_is_what_it_says(document, path, fields, stream):
    body = {"model": document.system.model, "seed": 1, **fields, "stream": stream}
    answer = document.ask(path, body)
    assert isinstance(answer, list) == stream
    if stream and path in ("/v1/chat/completions", "/v1/completions"):
        for include in (True, False):
            document.ask(path, {**body, "stream_options": {"include_usage": include}})
    # That what the schema has for them was there at all.
    if "tools" in fields:
        assert "get_weather" in said(answer)
    if fields.get("reasoning", {}).get("max_tokens") and stream is False:
        assert "reasoning_content" in said(answer)
    if fields.get("thinking", {}).get("type") == "enabled":
        assert "thinking" in said(answer)
    if "logprobs" in fields or "top_logprobs" in fields:
        assert "logprob" in said(answer)


@pytest.mark.parametrize("path, body", [
    ("/v1/tokenize", {"prompt": "Hello", "return_token_strs": True}), ("/v1/tokenize", {"messages": MESSAGES}),
    ("/v1/detokenize", {"tokens": [5, 6, 7]}), ("/v1/apply-template", {"messages": MESSAGES}),
    ("/v1/messages/count_tokens", {"messages": MESSAGES}), ("/v1/models", None), ("/v1/models/{model}", None),
    ("/v1/status/{model}", None), ("/v1/webhook-secret", None)])
def test_what_files_answer_is_what_it_says(document, path, body):
    document.ask(path, None if body is None else {"model": document.system.model, **body})


@pytest.mark.parametrize("path, body, status", [
    ("/v1/chat/completions", {}, 422), ("/v1/chat/completions", {"model": "none", "messages": MESSAGES}, 404),
    ("/v1/messages", {}, 400), ("/v1/messages", {"model": "none", "messages": MESSAGES, "max_tokens": 1}, 404),
    ("/v1/responses", {"model": "none", "input": "a"}, 404), ("/v1/models/{model}", None, 404)])
def test_a_refusal_is_what_it_says(document, path, body, status):
    assert document.send(path.replace("{model}", "no/such"), body)[0] == status
    document.ask(path, body, at=path.replace("{model}", "no/such"))


@pytest.mark.parametrize("fields, answer", [
    ({"num_responses": 2, "temperature": 1}, "InferenceDone"),
    ({"response_format": {"type": "grammar", "grammar": "root ::= nothing"}}, "InferenceFailed")])
def test_what_a_webhook_gets_is_what_it_says(system, document, receiver, fields, answer):
    receiver.got.clear()
    queued = document.ask("/v1/inference/{model}", {"input": "One", "max_new_tokens": 4, "webhook": receiver.url(), **fields})
    receiver.wait()
    _, headers, body = receiver.got[0]
    [(_, path)] = document.json["paths"]["/v1/inference/{model}"]["post"]["callbacks"].items()
    sent = path["{$request.body#/webhook}"]["post"]
    assert headers["content-type"] in sent["requestBody"]["content"]
    document.check(sent["requestBody"]["content"][headers["content-type"]]["schema"], json.loads(body))
    document.check({"$ref": f"#/components/schemas/{answer}"}, json.loads(body))
    given = {name.lower(): value for name, value in headers.items()}
    assert [parameter["name"] for parameter in sent["parameters"]] == ["webhook-id", "webhook-timestamp", "webhook-signature"]
    for parameter in sent["parameters"]:
        document.check(parameter["schema"], given[parameter["name"]])
    assert given["webhook-id"] == f"msg_{queued['request_id']}" and sent["security"] == []


LABEL = "a" * 63
GOOD_HOOKS = ["https://a.invalid", "HTTPS://A.invalid:443/x?y=%20", "https://a.invalid?q", f"https://{LABEL}.x-1/", f"https://1.a.{LABEL}"]
BAD_HOOKS = ["", "http://a.invalid", "https://a.invalid:8443/", "https://a.invalid:80", "https://a.invalid:0443/", "https://a.invalid:44399/",
             "https://a.invalid:", "https://u@a.invalid", "https://1.2.3.4/", "https://[::1]/", "https://a.invalid./", "https://a.invalid/#f",
             "https://a.invalid/%2", f"https://{LABEL}a.invalid/", f"https://a.{LABEL}a", "https://a-/", "https:///x", [], {}, False]


@pytest.mark.parametrize("url", GOOD_HOOKS + BAD_HOOKS, ids=str)
def test_which_webhooks_it_allows_is_which_are_taken(document, url):
    """A good one is not called: what is behind it in the body is wrong."""
    is_good = url in GOOD_HOOKS
    body = {"input": "One", "max_new_tokens": 1, "webhook": url}
    schema = {"$ref": "#/components/schemas/InferenceRequest"}
    assert document.validator(schema).is_valid(body) == is_good
    path = f"/v1/inference/{document.system.model}"
    status, _, answer = document.send(path, {**body, "tools": [1]} if is_good else body)
    assert status == 422 and json.loads(answer)["error"]["param"] == ("tools" if is_good else "webhook")


def test_bodies_of_these_answers_are_what_it_says_of_requests(document):
    for path, fields in ANSWERS:
        schema = document.json["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        document.check(schema, {"model": "m", **fields})


# ---- docs/API.md ----

def sections():
    """{"chat/completions": text, ...} of docs/API.md, by their doors."""
    found = {}
    for part in (ROOT / "docs/API.md").read_text().split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        found[title.removeprefix("POST ")] = text
    return found


def test_the_page_for_developers_names_every_field(document):
    page = (ROOT / "docs/API.md").read_text()
    bodies = {schema for schema in document.json["components"]["schemas"] if schema.endswith("Request")}
    assert len(bodies) == 10
    missing = {(body, name) for body in bodies for name in document.json["components"]["schemas"][body]["properties"]
               if not re.search(rf"`[\w.]*\b{name}\b[^`]*`", page)}
    assert not missing


RANGE = re.compile(r"^(-?[\d,.]+?)\.\.(-?[\d,.]*\d)\b")


@pytest.mark.parametrize("title, schema, rows", [("/v1/chat/completions", "ChatRequest", 11),
                                                 ("/v1/completions", "CompletionRequest", 2),
                                                 ("/v1/responses", "ResponsesRequest", 1),
                                                 ("/v1/messages", "MessagesRequest", 1)])
def test_the_page_for_developers_has_the_ranges(document, title, schema, rows):
    properties, found = document.json["components"]["schemas"][schema]["properties"], 0
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|", sections()[title], re.M):
        for name in re.findall(r"`(\w+)`", row[0]):
            given = RANGE.match(row[1])
            if not given or "minimum" not in properties.get(name, {}):
                continue
            least, most = (float(number.replace(",", "")) for number in given.groups())
            assert (properties[name]["minimum"], properties[name]["maximum"]) == (least, most), name
            found += 1
    assert found == rows
