"""A running Quire, started as an operator would: `quire serve` with its ready file, real processes and real wires."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("QUIRE_BIN", ROOT / "build/release/bin")).resolve()
DEMO_MODEL = pathlib.Path(os.environ.get("QUIRE_DEMO_MODEL", ROOT / "models/smollm2-135m-instruct"))
TINY_MODEL = ROOT / "tests/golden/data/models/tiny-qwen2"


def http(method, url, key=None, body=None, timeout=300):
    """(status, parsed JSON or text)."""
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            status, text = response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def until(what, condition, limit=300, pause=0.05):
    """Waits for a thing that must come. The limit is for what never comes: no test says how fast anything is."""
    start = time.monotonic()
    while not (answer := condition()):
        if time.monotonic() - start > limit:
            raise AssertionError(f"in {limit} s there was not: {what}")
        time.sleep(pause)
    return answer


def serve_once(*flags, programs=BIN, timeout=300):
    """Runs `quire serve` to its end: for command lines that must fail."""
    return subprocess.run([programs / "quire", "serve", *flags], capture_output=True, text=True, timeout=timeout)


class System:
    def __init__(self, model, programs=BIN, under=(), **flags):
        """`under`: a command that runs it, such as ("taskset", "-c", "0")."""
        self.folder = tempfile.TemporaryDirectory(prefix="quire-e2e-")
        self.data = pathlib.Path(flags.get("data", pathlib.Path(self.folder.name) / "data"))
        ready_file = pathlib.Path(flags.pop("ready_file", pathlib.Path(self.folder.name) / "ready.json"))
        options = {"model": model, "data": self.data, "port": 0, "admin-port": 0, "ready-file": ready_file, **flags}
        args = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self.listen_to(*under, programs / "quire", "serve", *args)
        if not self._announced.wait(600) or not ready_file.exists():
            self.stop()
            raise RuntimeError("quire serve did not get ready:\n" + "".join(self.output) + self.logs())
        ready = json.loads(ready_file.read_text())
        self.url, self.api_key = ready["url"], ready.get("api_key")
        self.admin_url, self.admin_key = ready["admin_url"], ready.get("admin_key")
        self.model = ready["model"]

    def listen_to(self, *command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.output = []
        self._announced = threading.Event()
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()

    def _read_output(self):
        for line in self.process.stdout:
            self.output.append(line)
            if "quire: ready:" in line:
                self._announced.set()
        self._announced.set()

    def ended(self):
        """Waits for its end: the exit code, and all that it said."""
        code = self.process.wait(timeout=400)  # longer than the drain that a stream which never ends gets
        self._reader.join(60)  # the last line may still be in the pipe
        return code, "".join(self.output)

    def has_said(self, text):
        return any(text in line for line in list(self.output))

    def wait_for_output(self, text, limit=300):
        """Until it says so; fails as soon as it has ended without."""
        def said():
            ended = self.process.poll() is not None
            if ended:
                self._reader.join(60)  # the last line may still be in the pipe
            if not self.has_said(text):
                assert not ended, f"it ended without saying {text!r}:\n" + "".join(self.output)
                return False
            return True
        until(f"{text!r} in what it says", said, limit)

    def logs(self):
        return "".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.data.glob("logs/*")))

    def stop(self):
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.ended()[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()

    # ---- clients ----

    def openai(self, **options):
        import openai
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=options.pop("api_key", self.api_key), max_retries=0,
                             **options)

    def chat(self, content, key=None, **fields):
        body = {"model": self.model, "messages": [{"role": "user", "content": content}], **fields}
        return http("POST", f"{self.url}/v1/chat/completions", key or self.api_key, body)

    def admin(self, method, path, body=None):
        return http(method, f"{self.admin_url}/admin/v1/{path}", self.admin_key, body)

    def groups(self):
        """Each with the "pepper_file" of which whoever opens a session with it shows that he has it."""
        status, answer = self.admin("GET", "groups")
        assert status == 200, answer
        return [{**group, "pepper_file": str(self.data / "pepper")} for group in answer["data"]]

    def gateway_metrics(self):
        """host:port; the port changes when the gateway restarts."""
        return json.loads((self.data / "run/gateway").read_text())["metrics"]

    def wait_for_key(self, key):
        """Until the gateway has heard of a new key: then it has of all that were made before."""
        until("a gateway that knows the new key", lambda: http("GET", f"{self.url}/v1/models", key)[0] == 200)

    def wait_for_settles(self):
        """Until every request that ended is acknowledged by the ledger (a client's last frame does not wait for that)."""
        def none_left(name):
            try:
                return metric(self.gateway_metrics(), name) == 0
            except OSError:  # the gateway has just ended, and the next one doesn't serve yet
                return False

        for name in ("quire_gateway_streams_open", "quire_gateway_settles_pending"):  # in the order of a request's end
            until(f"{name} at 0", lambda name=name: none_left(name))

    def usage(self):
        status, answer = self.admin("GET", "usage")
        assert status == 200, answer
        return answer["data"]

    def create_key(self, **fields):
        """The new key's {"id", "key", ...}."""
        status, answer = self.admin("POST", "keys", fields)
        assert status in (200, 201), answer
        return answer

    def pid_of(self, program):
        """Of a direct child of the launcher: coordinator or gateway. LookupError between two of its lives."""
        with contextlib.suppress(OSError):  # the launcher has ended
            children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            for pid in children:
                with contextlib.suppress(OSError):  # it has just been reaped
                    if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == f"quire-{program}"[:15]:
                        return int(pid)
        raise LookupError(f"no {program} runs")


def metrics(address):
    """{"name{labels}": value} of a program's /metrics."""
    status, text = http("GET", f"http://{address}/metrics")
    assert status == 200
    return {m[1]: float(m[2]) for m in re.finditer(r"^([a-z_]+(?:\{[^}]*\})?) ([-+0-9.eEinfNa]+)$", text, re.M)}


def metric(address, name):
    """The sum over a metric's labels. A name that the program does not have is a mistake, not a zero."""
    values = [value for key, value in metrics(address).items() if key.split("{")[0] == name]
    assert values, f"{address} has no metric {name}"
    return sum(values)
