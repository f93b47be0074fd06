"""Runs inside a PID namespace of its own, as its PID 1 (test_first_start.py starts it): coordinators that are killed at
moments swept over their first start, and started again. The moments are lines of the log, so that every run has those between
the starts of two groups, whatever the machine's pace. Whoever isn't theirs lives through it all, nobody of an old epoch does,
and in the end everything serves. Ends with 0 if so; says on stderr what is wrong otherwise.

    python first_start_kills.py MODEL
"""
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from system import BIN, http, until

START_S = 0.3  # about what a start takes
ANY_MOMENT = (None, 0)
BYSTANDER = [sys.executable, "-c", "import signal; signal.pause()"]


def command_lines():
    """{pid: arguments} of all living processes but ourselves."""
    found = {}
    for folder in pathlib.Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            state = (folder / "stat").read_text().rpartition(") ")[2].split()[0]
            arguments = (folder / "cmdline").read_bytes().decode().split("\0")[:-1]
        except OSError:
            continue
        if state != "Z":
            found[int(folder.name)] = arguments
    return found


def ours():
    """(group, epoch) of every living worker process, and how many processes of coordinators there are."""
    workers, coordinators = [], 0
    for arguments in command_lines().values():
        if arguments and arguments[0].endswith("quire-worker"):
            workers.append((arguments[arguments.index("--group-id") + 1], int(arguments[arguments.index("--group-epoch") + 1])))
        elif arguments and arguments[0].endswith("quire-coordinator"):
            coordinators += 1
    return sorted(workers), coordinators


class Coordinator:
    def __init__(self, data, model, groups, port, kill_at=ANY_MOMENT):
        """`kill_at`: as soon as it has logged this event so many times."""
        self.data, self.ready, self.groups = data, data.parent / "ready", groups
        self.ready.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [BIN / "quire-coordinator", "--data", data, "--port", str(port), "--admin-port", "0", "--ready-file", self.ready,
             "--model", model, "--model-name", "tiny", "--tensor-parallel", "2", "--groups", str(groups), "--threads-per-rank",
             "1", "--worker-binary", BIN / "quire-worker"], stderr=subprocess.PIPE, text=True)
        self.events = []
        self.reader = threading.Thread(target=self.read_log, args=kill_at, daemon=True)
        self.reader.start()

    def read_log(self, last_event, number):
        for line in self.process.stderr:
            self.events += re.findall('"event":"(.+?)"', line)
            if self.events[-1:] == [last_event] and self.events.count(last_event) == number:
                self.process.kill()

    def is_ready(self):
        assert self.process.poll() is None, "the coordinator ended by itself"
        return self.ready.exists()

    def kill_at_any_moment(self, draw):
        time.sleep(draw.uniform(0, 2) * START_S)  # what is tested
        self.process.kill()
        self.ended()

    def ended(self):
        """Its exit code; its log is read by then."""
        code = self.process.wait(180)
        self.reader.join(60)
        return code

    def all_serving(self):
        """The groups, once all serve."""
        if not self.is_ready():
            return None
        admin = json.loads(self.ready.read_text())["admin"]
        key = json.loads((self.data / "keys.json").read_text())["admin_key"]
        status, answer = http("GET", f"http://{admin}/admin/v1/groups", key)
        serving = [g for g in answer["data"] if g["state"] == "serving"] if status == 200 else []
        return serving if len(serving) == self.groups else None


def one_sweep(folder, model, groups, moment, port, draw):
    """Returns how many groups the first one had started."""
    data = folder / "data"
    first = Coordinator(data, model, groups, port, kill_at=moment)
    if moment == ANY_MOMENT:
        first.kill_at_any_moment(draw)
    assert first.ended() == -signal.SIGKILL, "the coordinator ended by itself"
    Coordinator(data, model, groups, port).kill_at_any_moment(draw)
    last = Coordinator(data, model, groups, port)
    serving = until("all groups serve", last.all_serving, limit=180)
    expected = sorted((g["id"], g["epoch"]) for g in serving for _ in range(2))
    until(f"only {expected} run", lambda: ours() == (expected, 1), limit=180)
    last.process.send_signal(signal.SIGTERM)
    assert last.ended() == 0
    until("nothing runs any more", lambda: ours() == ([], 0), limit=180)
    return first.events.count("group_started")


def main(model):
    assert os.getpid() == 1, "to be run as PID 1 of a PID namespace: see test_first_start.py"
    bystanders = [subprocess.Popen(BYSTANDER + more) for more in ([], [""], ["--shm", ""], ["--shm", "quire-"])]
    draw = random.Random(7)
    kept = socket.socket()  # bound and never listening: the port is ours
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    for groups in (1, 2, 3):
        for event, number in [ANY_MOMENT, *(("group_started", number) for number in range(1, groups + 1)), ("serving", 1)]:
            def met_its_moment():
                with tempfile.TemporaryDirectory(prefix="quire-kills-") as folder:
                    started = one_sweep(pathlib.Path(folder), model, groups, (event, number), kept.getsockname()[1], draw)
                assert all(bystander.poll() is None for bystander in bystanders), "a bystander was killed"
                return event != "group_started" or number == groups or started < groups
            until("a kill before the last group started", met_its_moment, limit=600)
    for bystander in bystanders:
        bystander.kill()


if __name__ == "__main__":
    main(sys.argv[1])
