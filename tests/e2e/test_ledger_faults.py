"""The ledger when a gateway dies under load and when its disk or its quota is full for a while: real processes, the tiny model."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading

import pytest

from generated import tiny_long
from stream import Stream
from system import BIN, http, metric, until

NAME = "tiny"
LASTING_TOKENS = 60000  # minutes of an answer
PATIENCE_S = 300  # a safety net: everything is waited for


def may_mount():
    tried = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


class Installation:
    """A coordinator with one group of its own, and a gateway; `disk_mb`: the data folder is a tmpfs of that size."""

    def __init__(self, disk_mb=None, preload=None, **coordinator_flags):
        self.folder = tempfile.TemporaryDirectory(prefix="quire-faults-")
        self.root = pathlib.Path(self.folder.name)
        (self.root / "data").mkdir(mode=0o700)
        self.log = (self.root / "log").open("w")
        command = [BIN / "quire-coordinator", f"--data={self.root}/data", "--admin-port=0",
                   f"--model={tiny_long(self.root, LASTING_TOKENS)}",
                   f"--model-name={NAME}", f"--worker-binary={BIN}/quire-worker", f"--ready-file={self.root}/coordinator",
                   *(f"--{flag.replace('_', '-')}={value}" for flag, value in coordinator_flags.items())]
        if disk_mb:
            mount = f"mount -t tmpfs -o size={disk_mb}m,mode=700 tmpfs {self.root}/data && exec \"$0\" \"$@\""
            command = ["unshare", "--mount", "sh", "-c", mount, *command]
        env = {**os.environ, **({"LD_PRELOAD": str(preload)} if preload else {}), "QUIRE_TEST_QUOTA": f"{self.root}/quota"}
        self.coordinator = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=env)
        ready = self._ready("coordinator", self.coordinator)
        # As the coordinator sees it: its mounts are its own.
        self.data = pathlib.Path(f"/proc/{ready['pid']}/root{self.root}/data")
        self.pid, self.grpc, self.admin_url = ready["pid"], ready["grpc"], "http://" + ready["admin"]
        keys = json.loads((self.data / "keys.json").read_text())
        self.api_key, self.admin_key, self.model = keys["api_key"], keys["admin_key"], NAME
        self.start_gateway()
        until("the group serves", lambda: self.chat("Hello", max_tokens=1)[0] == 200)

    def _ready(self, name, process):
        path = self.root / name
        until(f"the {name} gets ready", lambda: path.exists() or process.poll() is not None)
        assert path.exists(), (self.root / "log").read_text()[-3000:]
        return json.loads(path.read_text())

    def start_gateway(self):
        (self.root / "gateway").unlink(missing_ok=True)
        self.gateway = subprocess.Popen([BIN / "quire-gateway", "--port=0", f"--coordinator={self.grpc}",
                                         f"--pepper-file={self.data}/pepper", f"--ready-file={self.root}/gateway"],
                                        stdout=self.log, stderr=self.log)
        ready = self._ready("gateway", self.gateway)
        self.url, self.gateway_metrics = "http://" + ready["api"], ready["metrics"]

    def chat(self, content, **fields):
        body = {"model": NAME, "messages": [{"role": "user", "content": content}], **fields}
        return http("POST", f"{self.url}/v1/chat/completions", self.api_key, body, timeout=PATIENCE_S)

    def admin(self, path):
        status, answer = http("GET", f"{self.admin_url}/admin/v1/{path}", self.admin_key)
        assert status == 200, answer
        return answer

    def open_requests(self):
        return self.admin("groups")["open_requests"]

    def held(self):
        return sum(account["held"]["nano_usd"] for account in self.admin("usage")["accounts"])

    def stop_gateway_amid_requests(self, ask):
        """SIGSTOP while requests are open: one that lasts, so that it is open for sure, and those of threads that call `ask` until
        then. Returns the lasting one's Stream, and the threads."""
        stopped, answered = threading.Event(), threading.Event()

        def client():
            while not stopped.is_set():
                try:
                    ask()
                except OSError:  # the gateway is gone
                    return
                answered.set()
        threads = [threading.Thread(target=client, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        lasting = Stream(self, "Go on", max_tokens=LASTING_TOKENS, ignore_eos=True)
        next(iter(lasting))
        assert answered.wait(PATIENCE_S)
        self.gateway.send_signal(signal.SIGSTOP)
        stopped.set()
        return lasting, threads

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.gateway, self.coordinator):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                process.wait(timeout=60)
        self.log.close()
        self.folder.cleanup()


def test_a_dead_gateway_is_reaped_and_its_holds_are_gone(bereaved):
    assert bereaved.chat("Hello", max_tokens=3)[0] == 200  # the others go on meanwhile
    until("its reservations are released", lambda: bereaved.open_requests() == 0)
    until("what it held is released on disk, too", lambda: bereaved.held() == 0)  # a commit follows the memory
    assert metric(bereaved.admin_url.removeprefix("http://"), "quire_coordinator_reaped_requests_total") > 0
    assert bereaved.admin("audit")["balanced"]


def fill(folder):
    with (folder / "fill").open("wb", buffering=0) as file:
        try:
            for size in (65536, 4096, 1):
                while True:
                    try:
                        file.write(b"x" * size)
                    except OSError:
                        break
        finally:
            os.fsync(file.fileno())


def goes_through_a_full_disk(quire, fill_it, make_room):
    """While the disk is full nothing is lost, and nothing new is taken; then service resumes by itself."""
    answers = []

    def ask():
        status, answer = quire.chat("Go on", max_tokens=100, ignore_eos=True)
        if status == 200:
            answers.append(answer["usage"]["completion_tokens"])
    for _ in range(3):
        ask()
    lasting, threads = quire.stop_gateway_amid_requests(ask)
    fill_it()
    quire.gateway.send_signal(signal.SIGCONT)
    lasting.close()
    for thread in threads:
        thread.join()
    # What was under way has ended within its grant and can't be settled; nothing new is taken.
    until("a settlement that waits", lambda: metric(quire.gateway_metrics, "quire_gateway_settles_pending") > 0)
    assert quire.chat("Hello", max_tokens=3)[0] == 503
    failed = metric(quire.admin_url.removeprefix("http://"), "quire_coordinator_ledger_failed_commits_total")
    assert failed > 0
    make_room()
    until("everything is settled", lambda: metric(quire.gateway_metrics, "quire_gateway_settles_pending") == 0)
    until("service resumes", lambda: quire.chat("Hello", max_tokens=3, ignore_eos=True)[0] == 200)
    # The client of the last one has its answer before the ledger has its settlement.
    until("all is closed", lambda: quire.open_requests() == 0 and quire.held() == 0)
    assert quire.coordinator.poll() is None and quire.pid == json.loads((quire.root / "coordinator").read_text())["pid"]
    billed = sum(row["completion_tokens"] for row in quire.admin("usage")["data"])
    assert billed >= sum(answers) and len(answers) > 3
    assert quire.admin("audit")["balanced"]


@pytest.mark.skipif(not may_mount(), reason="a file system of its own for the data folder needs the right to mount one")
def test_a_full_disk_comes_and_goes_without_a_lost_settlement():
    with Installation(disk_mb=64) as quire:
        goes_through_a_full_disk(quire, lambda: fill(quire.data), (quire.data / "fill").unlink)


# A kernel over its quota: while $QUIRE_TEST_QUOTA is there, no write to the ledger's files succeeds.
QUOTA = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int over(int fd) {
  char link[64], name[4096] = "";
  const char* quota = getenv("QUIRE_TEST_QUOTA");
  if (!quota || access(quota, F_OK) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (readlink(link, name, sizeof name - 1) < 0 || !strstr(name, "/ledger.db")) return 0;
  errno = EDQUOT;
  return 1;
}
#define WRITES(name, type)                                                        \
  ssize_t name(int fd, const void* bytes, size_t size, type at) {                 \
    ssize_t (*real)(int, const void*, size_t, type) = dlsym(RTLD_NEXT, #name);    \
    return over(fd) ? -1 : real(fd, bytes, size, at);                             \
  }
WRITES(pwrite, off_t)
WRITES(pwrite64, off64_t)
ssize_t write(int fd, const void* bytes, size_t size) {
  ssize_t (*real)(int, const void*, size_t) = dlsym(RTLD_NEXT, "write");
  return over(fd) ? -1 : real(fd, bytes, size);
}
"""


@pytest.mark.skipif(not shutil.which("cc"), reason="a quota is made by a library that needs a C compiler")
def test_a_quota_is_reached_and_raised_without_a_lost_settlement(tmp_path):
    (tmp_path / "quota.c").write_text(QUOTA)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "quota.so", tmp_path / "quota.c", "-ldl"], check=True)
    with Installation(preload=tmp_path / "quota.so") as quire:
        goes_through_a_full_disk(quire, (quire.root / "quota").touch, (quire.root / "quota").unlink)
        assert "errno 122" in (quire.root / "log").read_text()  # EDQUOT, and it is said
