"""Webhooks of /v1/inference, from outside: a receiver with TLS of a CA of its own, its signatures checked by an independent
computation."""
import base64
import hashlib
import hmac
import http.server
import json
import ssl
import subprocess
import threading
from decimal import Decimal

import pytest

from generated import tiny_long
from system import TINY_MODEL, System, http as call, metrics, until

pytestmark = pytest.mark.tiny


class Receiver:
    """Answers with `replies`, one after the other, the last one for good; a reply is (status, headers, body), or a function of
    the handler."""

    def __init__(self, folder):
        self.got, self.replies, self.arrived = [], [(204, {}, b"")], threading.Event()
        self.connections = 0
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((self.path, dict(self.headers), body))
                receiver.arrived.set()
                reply = receiver.replies.pop(0) if len(receiver.replies) > 1 else receiver.replies[0]
                if callable(reply):
                    return reply(self)
                status, headers, text = reply
                self.send_response(status)
                for name, value in {"content-length": len(text), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def verify_request(self, *_):
                receiver.connections += 1
                return True

            def handle_error(self, *_):
                pass  # a client that leaves amid a huge reply
        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "hook.pem", folder / "hook.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path="/hook?token=hidden"):
        return f"https://localhost:{self.port}{path}"

    def wait(self, count=1):
        until(f"{count} webhooks", lambda: len(self.got) >= count)
        return [json.loads(body) for _, _, body in self.got]


def make_certificates(folder):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-subj", "/CN=our authority", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-new", *key, "-subj", "/CN=hook", "-addext", "subjectAltName=DNS:localhost", "-keyout", "hook.key", "-out", "hook.csr")
    openssl("x509", "-req", "-days", "2", "-copy_extensions", "copy", "-CAcreateserial", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-in", "hook.csr", "-out", "hook.pem")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ca")
    make_certificates(folder)
    return folder


@pytest.fixture
def receiver(certificates):
    made = Receiver(certificates)
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def serving(certificates):
    """One receiver for all, whose port the gateway has to know before."""
    receiver = Receiver(certificates)
    with System(TINY_MODEL, webhook_allow=f"localhost:{receiver.port}", webhook_ca=certificates / "ca.pem",
                webhook_retry_ms=20) as system:
        yield system, receiver
    receiver.server.shutdown()


@pytest.fixture
def hook(serving):
    system, receiver = serving
    receiver.got.clear()
    receiver.replies = [(204, {}, b"")]
    return system, receiver


def infer(system, key=None, **fields):
    return call("POST", f"{system.url}/v1/inference/{system.model}", key or system.api_key,
                {"input": "The capital of France is", "max_new_tokens": 12, "temperature": 0, **fields})


def queued(system, **fields):
    status, answer = infer(system, **fields)
    assert status == 200 and answer["inference_status"]["status"] == "queued" and answer["results"] == [], answer
    return answer["request_id"]


def secret_of(system, key=None):
    status, answer = call("GET", f"{system.url}/v1/webhook-secret", key or system.api_key)
    assert status == 200 and answer["secret"].startswith("whsec_")
    return answer["secret"]


def check_signature(system, headers, body, key=None):
    headers = {name.lower(): value for name, value in headers.items()}
    secret = base64.b64decode(secret_of(system, key)[len("whsec_"):])
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}" and headers["content-type"] == "application/json"
    return headers["webhook-id"]


def delivery(system, request):
    """The line of the log that says what became of it."""
    def found():
        lines = [json.loads(line) for path in system.data.glob("logs/gateway*") for line in path.read_text().splitlines()
                 if '"event":"webhook"' in line]
        return [line for line in lines if line["request_id"] == request]
    return until("the webhook's line", found)[0]


def test_the_answer_comes_signed_and_costs_what_the_ledger_says(hook):
    system, receiver = hook
    whole = infer(system)[1]
    system.wait_for_settles()
    before = sum(row["cost_nano_usd"] for row in system.usage())
    request = queued(system, webhook=receiver.url())
    [answer] = receiver.wait()
    path, headers, body = receiver.got[0]
    assert path == "/hook?token=hidden" and check_signature(system, headers, body) == f"msg_{request}"
    assert answer["request_id"] == request and answer["inference_status"]["status"] == "succeeded"
    assert answer["results"] == whole["results"] and answer["num_tokens"] == whole["num_tokens"]
    assert answer["num_input_tokens"] == whole["num_input_tokens"]
    line = delivery(system, request)
    assert (line["outcome"], line["status"], line["attempts"], line["to"]) == ("delivered", 204, 1, f"localhost:{receiver.port}")
    system.wait_for_settles()
    cost = Decimal(sum(row["cost_nano_usd"] for row in system.usage()) - before) / 10**9
    assert Decimal(repr(answer["inference_status"]["cost"])) == cost > 0
    [job] = [json.loads(line) for path in system.data.glob("logs/gateway*") for line in path.read_text().splitlines()
             if request in line and '"method":"JOB"' in line]
    assert (job["route"], job["status"], job["completion_tokens"]) == ("/v1/inference/*", 200, answer["num_tokens"])
    logs = "".join(path.read_text() for path in system.data.glob("logs/*"))
    assert "token=hidden" not in logs and "/hook" not in logs and secret_of(system) not in logs


def test_several_responses_and_a_form(hook):
    system, receiver = hook
    queued(system, webhook=receiver.url(), num_responses=3, temperature=1, seed=3,
           response_format={"type": "regex", "regex": "[ab]{4}"})
    [answer] = receiver.wait()
    assert [len(result["generated_text"]) for result in answer["results"]] == [4, 4, 4]


def test_it_is_sent_again_under_one_id_where_that_may_help(hook):
    system, receiver = hook
    receiver.replies = [(503, {}, b"busy"), (429, {}, b""), lambda handler: handler.connection.close(), (200, {}, b"ok")]
    request = queued(system, webhook=receiver.url())
    receiver.wait(4)
    ids = {check_signature(system, headers, body) for _, headers, body in receiver.got}
    assert ids == {f"msg_{request}"} and len({body for _, _, body in receiver.got}) == 1
    line = delivery(system, request)
    assert (line["outcome"], line["attempts"], line["status"]) == ("delivered", 4, 200)


def test_after_so_many_attempts_it_is_given_up(hook):
    system, receiver = hook
    receiver.replies = [(500, {}, b"")]
    line = delivery(system, queued(system, webhook=receiver.url()))
    assert (line["outcome"], line["attempts"], line["status"]) == ("given_up", 4, 500) and len(receiver.got) == 4


@pytest.mark.parametrize("reply", [(302, {"location": "https://localhost/"}, b""), (307, {"location": "/other"}, b""), (400, {}, b"no"),
                                   (410, {}, b"")])
def test_no_redirect_is_followed_and_a_refusal_is_final(hook, reply):
    system, receiver = hook
    receiver.replies = [reply]
    line = delivery(system, queued(system, webhook=receiver.url()))
    assert (line["outcome"], line["attempts"], line["status"]) == ("refused", 1, reply[0]) and len(receiver.got) == 1


def test_a_huge_reply_is_a_status(hook):
    system, receiver = hook
    receiver.replies = [(200, {}, b"x" * (8 << 20))]
    line = delivery(system, queued(system, webhook=receiver.url()))
    assert (line["outcome"], line["attempts"]) == ("delivered", 1)


def test_one_that_never_answers_is_in_nobodys_way(hook):
    system, receiver = hook
    over = threading.Event()
    receiver.replies = [lambda handler: over.wait(300), (204, {}, b"")]
    silent = queued(system, webhook=receiver.url("/silent"))
    receiver.wait(1)
    line = delivery(system, queued(system, webhook=receiver.url("/other")))
    assert line["outcome"] == "delivered"
    over.set()
    assert delivery(system, silent)["attempts"] == 2


def test_a_job_that_fails_says_so_and_costs_nothing(hook):
    system, receiver = hook
    system.wait_for_settles()
    before = sum(row["cost_nano_usd"] for row in system.usage())
    request = queued(system, webhook=receiver.url(), response_format={"type": "grammar", "grammar": "root ::= nothing"})
    [answer] = receiver.wait()
    _, headers, body = receiver.got[0]
    assert check_signature(system, headers, body) == f"msg_{request}"
    status = answer["inference_status"]
    assert (status["status"], status["cost"], status["tokens_generated"], answer["results"]) == ("failed", 0, 0, [])
    assert answer["error"]["code"] == "invalid_request" and "nothing" in answer["error"]["message"]
    system.wait_for_settles()
    assert sum(row["cost_nano_usd"] for row in system.usage()) == before


@pytest.mark.parametrize("url", [
    "http://hooks.example/", "https://user:word@hooks.example/", "https://127.0.0.1/", "https://2130706433/", "https://0x7f.1/",
    "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest/meta-data", "https://hooks.example./",
    "https://bücher.example/", "https://hooks.example:8443/", "https://hooks.example/#x", "https://localhost:1/", "hooks.example",
    "https://hooks.example/" + "a" * 2048, 7])
def test_what_may_not_be_called_is_refused(hook, url):
    system, receiver = hook
    status, answer = infer(system, webhook=url)
    assert status == 422 and answer["error"]["param"] == "webhook", answer
    assert not receiver.got


def test_it_goes_with_no_stream_and_a_wrong_request_is_refused_at_once(hook):
    system, receiver = hook
    for fields, param in (({"stream": True}, "webhook"), ({"temperature": 3}, "temperature"), ({"input": ""}, "input")):
        status, answer = infer(system, webhook=receiver.url(), **fields)
        assert status == 422 and answer["error"]["param"] == param
    assert infer(system, key="sk-quire-wrong", webhook=receiver.url())[0] == 401
    assert not receiver.got


def test_a_name_with_an_address_of_ours_is_not_called(hook):
    """Only localhost's one port is listed."""
    system, receiver = hook
    connections = receiver.connections
    line = delivery(system, queued(system, webhook="https://localhost/"))
    assert (line["outcome"], line["attempts"], line["status"]) == ("forbidden", 1, 0) and receiver.connections == connections
    address = system.gateway_metrics()
    assert metrics(address)['quire_gateway_webhook_deliveries_total{outcome="forbidden"}'] >= 1


def test_each_key_has_a_secret_of_its_own(hook):
    system, receiver = hook
    other = system.create_key(name="other")["key"]
    system.wait_for_key(other)
    assert secret_of(system) == secret_of(system) != secret_of(system, other)
    queued(system, key=other, webhook=receiver.url())
    receiver.wait()
    _, headers, body = receiver.got[0]
    check_signature(system, headers, body, other)
    assert call("GET", f"{system.url}/v1/webhook-secret")[0] == 401


def test_an_account_has_so_many_at_once_and_a_secret_outlives_the_gateway(receiver, certificates, tmp_path):
    over = threading.Event()
    receiver.replies = [lambda handler: over.wait(300), (204, {}, b"")]
    options = {"webhook_allow": f"localhost:{receiver.port}", "webhook_ca": certificates / "ca.pem", "webhook_jobs": 4,
               "data": tmp_path / "data"}
    with System(TINY_MODEL, **options) as system:
        secret = secret_of(system)
        queued(system, webhook=receiver.url())
        receiver.wait()
        status, answer = infer(system, webhook=receiver.url())
        assert status == 429 and answer["error"]["code"] == "rate_limit_exceeded"
        assert infer(system)[0] == 200, "what calls none is not bounded by it"
        over.set()
        until("room again", lambda: infer(system, webhook=receiver.url())[0] == 200)
    with System(TINY_MODEL, **{**options, "webhook_jobs": 0}) as system:
        assert secret_of(system) == secret
        status, answer = infer(system, webhook=receiver.url())
        assert status == 422 and answer["error"]["param"] == "webhook"


def test_a_job_dies_with_its_gateway_and_says_so(receiver, certificates, tmp_path):
    with System(tiny_long(tmp_path, 60_000), webhook_allow=f"localhost:{receiver.port}", webhook_ca=certificates / "ca.pem",
                stream_drain_seconds=1, kv_blocks=4_000) as system:
        request = queued(system, webhook=receiver.url(), max_new_tokens=60_000, ignore_eos=True)
        until("a job that runs", lambda: metrics(system.gateway_metrics())["quire_gateway_webhook_jobs"] == 1)
        assert system.stop() == 0
    [answer] = receiver.wait()
    assert answer["request_id"] == request and answer["inference_status"]["status"] == "failed"
    assert answer["inference_status"]["cost"] == 0 and "shutting down" in answer["error"]["message"]


def test_what_waits_for_another_attempt_is_tried_once_more_at_the_end(receiver, certificates):
    receiver.replies = [(500, {}, b""), (204, {}, b"")]
    with System(TINY_MODEL, webhook_allow=f"localhost:{receiver.port}", webhook_ca=certificates / "ca.pem",
                webhook_retry_ms=3_600_000) as system:
        queued(system, webhook=receiver.url())
        receiver.wait()
        assert system.stop() == 0
    assert len(receiver.got) == 2
    assert receiver.got[0][2] == receiver.got[1][2]
