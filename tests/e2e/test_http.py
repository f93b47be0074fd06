"""What HTTP asks of a running system, across its processes: one line of the log per request and never a word of it, every
program's probes, browsers of other origins, and replies that stay in step."""
import json
import socket
import urllib.parse

import pytest

from stream import Outcome, Stream
from system import TINY_MODEL, System, http, until

pytestmark = pytest.mark.tiny

WORDS = ("quokka", "zeppelin", "marmalade")
PROMPT = "Tell the " + " and the ".join(WORDS)


@pytest.fixture(scope="module")
def system():
    with System(TINY_MODEL, tensor_parallel=2) as running:
        yield running


def exchange(address, *requests):
    """The bytes that come back on one connection, whose last request asks for its end."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 300) as connection:
        connection.sendall(b"".join(requests))
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received.decode()


def request(method, path, *headers):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def api(system):
    return urllib.parse.urlsplit(system.url).netloc


def run_file(system, program):
    return json.loads((system.data / "run" / program).read_text())


def logged_requests(system, program):
    """The lines of the request log. (One is written after its reply; the last may be half there.)"""
    whole = (system.data / "logs" / f"{program}.log").read_text().rpartition("\n")[0]
    return [line for line in map(json.loads, whole.splitlines()) if line["event"] == "request"]


def test_each_request_has_its_line_and_no_word_of_it_is_logged(system):
    key = system.create_key(name="logged", account="logging")
    system.wait_for_key(key["key"])
    whole, stream = (Stream(system, PROMPT, key=key["key"], max_tokens=5, stream=s) for s in (False, True))
    usage = json.loads(whole.response.read())["usage"]
    streamed = Outcome(stream)
    refused = Stream(system, PROMPT, key=key["key"], temperature=9)
    stranger = Stream(system, PROMPT, key=key["key"][:-1] + "x")
    assert (whole.status, stream.status, refused.status, stranger.status) == (200, 200, 422, 401)
    ids = [r.response.headers["x-request-id"] for r in (whole, stream, refused, stranger)]
    until("a line for each request", lambda: {*ids} <= {line["request_id"] for line in logged_requests(system, "gateway")})
    lines = {line["request_id"]: line for line in logged_requests(system, "gateway") if line["request_id"] in ids}
    for id, used in ((ids[0], usage), (ids[1], streamed.usage)):
        line = lines[id]
        assert (line["status"], line["method"], line["route"]) == (200, "POST", "/v1/chat/completions")
        assert (line["key_id"], line["account"], line["model"]) == (key["id"], "logging", system.model)
        assert (line["prompt_tokens"], line["completion_tokens"]) == (used["prompt_tokens"], used["completion_tokens"])
        assert line["cost_nano_usd"] == round(used["estimated_cost"] * 1e9)
        assert 0 < line["first_token_ms"] <= line["total_ms"]
        assert line["finish"] in ("stop", "length") and line["error"] == ""
    assert (lines[ids[2]]["status"], lines[ids[2]]["error"], lines[ids[2]]["cost_nano_usd"]) == (422, "invalid_value", 0)
    assert (lines[ids[3]]["status"], lines[ids[3]]["error"], lines[ids[3]]["key_id"]) == (401, "invalid_api_key", "")
    system.wait_for_settles()
    posted = sum(row["cost_nano_usd"] for row in system.usage() if row["account"] == "logging")
    assert posted == sum(line["cost_nano_usd"] for line in lines.values())
    for log in (system.data / "logs").iterdir():
        text = log.read_text().lower()
        for secret in (*WORDS, key["key"].lower(), system.api_key.lower(), system.admin_key.lower()):
            assert secret not in text, f"{log.name} holds {secret[:12]}"


def test_admin_requests_are_logged_and_probes_are_not(system):
    key = system.create_key(name="another")
    metrics = run_file(system, "coordinator")["metrics"]
    for path in ("/livez", "/readyz", "/healthz", "/metrics"):
        assert http("GET", f"http://{metrics}{path}")[0] == 200
        assert http("GET", f"{system.admin_url}{path}")[0] == 200
    assert http("GET", f"{system.admin_url}/admin/v1/keys/{key['id']}", system.admin_key)[0] == 405
    until("the last request's line",
          lambda: "/admin/v1/keys/*" in {line["route"] for line in logged_requests(system, "coordinator")})
    routes = {line["route"] for line in logged_requests(system, "coordinator")}
    assert "/admin/v1/keys" in routes
    assert not [route for route in routes if "/admin" not in route and route != "other"]


def test_the_admin_plane_tells_strangers_nothing(system):
    admin = urllib.parse.urlsplit(system.admin_url).netloc
    asked = [("OPTIONS", "/admin/v1/keys"), ("OPTIONS", "*"), ("DELETE", "/admin/v1/usage"), ("GET", "/admin/v1/nothing"),
             ("GET", "/nothing"), ("POST", "/metrics"), ("get", "/admin/v1/keys")]
    for credential in ([], [f"Authorization: Bearer {system.api_key}"]):
        for method, path in asked:
            refused = exchange(admin, request(method, path, "Connection: close", *credential)).lower()
            assert refused.startswith("http/1.1 401") and "allow:" not in refused, (method, path, refused)
    key = f"Authorization: Bearer {system.admin_key}"
    told = [exchange(admin, request(method, path, "Connection: close", key)) for method, path in asked]
    assert [int(reply.split()[1]) for reply in told] == [204, 204, 405, 404, 404, 405, 501]
    assert "allow: GET, HEAD, OPTIONS, POST" in told[0]


def test_every_program_answers_probes_on_its_metrics_plane(system):
    planes = [run_file(system, "gateway")["metrics"], run_file(system, "coordinator")["metrics"]]
    planes += system.groups()[0]["rank_metrics"]
    assert len(planes) == 4
    for plane in planes:
        assert http("GET", f"http://{plane}/livez") == (200, {"alive": True})
        status, ready = http("GET", f"http://{plane}/readyz")
        assert status == 200 and ready["ready"] is True, ready
        assert 'quire_http_requests_total{plane="metrics"' in http("GET", f"http://{plane}/metrics")[1]
        assert http("GET", f"http://{plane}/v1/models")[0] == 404


def test_head_and_options_keep_the_connection_in_step(system):
    key = f"Authorization: bearer  {system.api_key}"
    text = exchange(api(system), request("HEAD", "/v1/models", key), request("HEAD", "/nothing"),
                    request("HEAD", "/v1/chat/completions"), request("OPTIONS", "/v1/models"),
                    request("GET", "/v1/models", key, "Connection: close"))
    replies = text.split("HTTP/1.1 ")[1:]
    assert [int(reply[:3]) for reply in replies] == [200, 404, 405, 204, 200]
    assert [reply.split("\r\n\r\n", 1)[1] for reply in replies[:4]] == [""] * 4
    assert replies[3].lower().count("allow: get, head, options") == 1
    assert json.loads(replies[4].split("\r\n\r\n", 1)[1])["data"][0]["id"] == system.model


def test_browsers_may_call_the_api_and_nothing_else(system):
    preflight = request("OPTIONS", "/v1/chat/completions", "Origin: https://chat.example", "Connection: close",
                        "Access-Control-Request-Method: POST",
                        "Access-Control-Request-Headers: authorization,content-type")
    public = exchange(api(system), preflight).lower()
    assert public.startswith("http/1.1 204") and "access-control-allow-origin: *" in public
    assert "access-control-allow-headers: authorization,content-type" in public
    admin = urllib.parse.urlsplit(system.admin_url).netloc
    for other in (admin, run_file(system, "gateway")["metrics"], run_file(system, "coordinator")["metrics"]):
        assert "access-control" not in exchange(other, preflight).lower()


def test_a_model_by_its_name(system):
    listed = http("GET", f"{system.url}/v1/models", system.api_key)[1]["data"][0]
    assert http("GET", f"{system.url}/v1/models/{system.model}", system.api_key) == (200, listed)
    assert system.openai().models.retrieve(system.model).id == system.model
    status, body = http("GET", f"{system.url}/v1/openai/models/no%2Fsuch/model", system.api_key)
    assert status == 404 and body["error"]["code"] == "model_not_found"
