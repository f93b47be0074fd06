"""How a running system ends while streams run: one signal drains, a second one cuts short, and nothing is left behind."""
import contextlib
import json
import os
import pathlib
import signal
import threading
import time

import pytest
from generated import tiny_long
from stream import Outcome, Stream
from system import System, until

pytestmark = pytest.mark.tiny
STREAMS, TOKENS = 4, 60000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Its answers take minutes: they are cut."""
    return tiny_long(tmp_path_factory.mktemp("model"), TOKENS)


def start_time(pid):
    """Of a living process; None if there is none (or only its remains, which nobody has reaped)."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


class Running:
    """A system under load, and who its processes are."""

    def __init__(self, system):
        self.system = system
        self.streams = [Stream(system, f"Go on, {i}", max_tokens=TOKENS, ignore_eos=True, seed=i) for i in range(STREAMS)]
        self.outcomes, self.payloads = [None] * STREAMS, [0] * STREAMS
        self.first = [threading.Event() for _ in self.streams]
        self.readers = [threading.Thread(target=self._read, args=(i,)) for i in range(STREAMS)]
        for reader in self.readers:
            reader.start()
        for first in self.first:
            assert first.wait(120)
        pids = [pid for group in system.groups() for pid in group["process"]["pids"]]
        pids += [system.pid_of("coordinator"), system.pid_of("gateway")]
        self.processes = {pid: start_time(pid) for pid in pids}
        assert None not in self.processes.values()

    def _read(self, i):
        def payloads():
            for payload in self.streams[i]:
                self.first[i].set()
                self.payloads[i] += 1
                yield payload
        self.outcomes[i] = Outcome(payloads())

    def end(self):
        """The exit code; every stream has ended by then."""
        code = self.system.process.wait(timeout=240)
        for reader in self.readers:
            reader.join(60)
        return code

    def check_streams(self):
        for outcome in self.outcomes:
            assert outcome is not None and outcome.terminals == 1 and outcome.done == 1, vars(outcome)

    def check_nothing_is_left(self):
        left = [pid for pid, started in self.processes.items() if start_time(pid) == started]
        assert not left, left
        recorded = json.loads((self.system.data / "fleet.json").read_text())
        for rank in [rank for group in recorded["groups"] for rank in group["ranks"]]:
            assert start_time(rank["pid"]) != rank["start_time"]

    def check_ledger(self, model, data):
        """Every request is settled: a successor over the same books finds none open."""
        with System(model, data=data) as after:
            status, usage = after.admin("GET", "usage")
            assert status == 200 and sum(int(row["requests"]) for row in usage["data"]) == STREAMS, usage
            assert all(account["held"]["nano_usd"] in (0, "0") for account in usage["accounts"]), usage
            status, audit = after.admin("GET", "audit")
            assert status == 200 and audit["balanced"], audit


@contextlib.contextmanager
def ended(model, tmp_path, **flags):
    """A system under load whose end the body brings about. Afterwards it has ended well, each stream once, with nothing left
    behind and every request settled."""
    data = tmp_path / "data"
    system = System(model, tensor_parallel=2, data=data, **flags)
    try:
        running = Running(system)
        yield running
        assert running.end() == 0, "".join(system.output) + system.logs()
        running.check_streams()
        running.check_nothing_is_left()
    finally:
        system.process.kill()
    running.check_ledger(model, data)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_cuts_short(model, tmp_path, second):
    with ended(model, tmp_path) as running:
        process = running.system.process
        process.send_signal(signal.SIGTERM)
        running.system.wait_for_output("stopping:")

        def hurries():
            process.send_signal(second)  # SIGTERM that comes at once is the first one once more
            return running.system.has_said("stopping now") or process.poll() is not None
        until("the second signal is taken", hurries)
        running.system.wait_for_output("stopping now")
        process.send_signal(second)  # a third does no harm
    assert all(outcome.error for outcome in running.outcomes)


def waits_for(pid, number):
    """Whether a signal was sent to the process that it has not taken yet."""
    [pending] = [line.split()[1] for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("ShdPnd")]
    return int(pending, 16) >> (number - 1) & 1


def test_sigterm_that_comes_twice_is_one(model, tmp_path):
    """As service managers do: it comes to the gateway from them, and from the launcher, which they tell too."""
    with ended(model, tmp_path) as running:
        gateway = running.system.pid_of("gateway")
        os.kill(gateway, signal.SIGTERM)
        until("the gateway drains", lambda: '"draining"' in (running.system.data / "logs/gateway.log").read_text())
        for _ in range(2):
            running.system.process.send_signal(signal.SIGTERM)
        running.system.wait_for_output("stopping:")
        os.kill(gateway, signal.SIGTERM)
        until("the gateway has taken it", lambda: not waits_for(gateway, signal.SIGTERM))
        before = list(running.payloads)
        until("all streams go on", lambda: all(now > then + 50 for now, then in zip(running.payloads, before)) or
              any(running.outcomes))
        assert not any(running.outcomes)
        running.system.process.send_signal(signal.SIGINT)
    assert all(outcome.error for outcome in running.outcomes)


def test_signals_at_once(model, tmp_path):
    """As `timeout` does: to the process, and at once to its group."""
    with ended(model, tmp_path) as running:
        process = running.system.process
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            os.kill(process.pid, number)
        running.system.wait_for_output("stopping:")

        def ends():
            process.send_signal(signal.SIGINT)  # those at once may have counted as one
            return process.poll() is not None
        until("it ends", ends)


def test_a_coordinator_that_dies_during_the_drain_is_replaced(model, tmp_path):
    with ended(model, tmp_path) as running:
        process = running.system.process
        process.send_signal(signal.SIGTERM)
        running.system.wait_for_output("stopping:")
        os.kill(running.system.pid_of("coordinator"), signal.SIGKILL)
        running.system.wait_for_output("the coordinator ended")
        process.send_signal(signal.SIGINT)


@pytest.mark.full
def test_a_drain_that_sleeps_goes_on(model, tmp_path):
    """A lid that closes on it: on waking, quire finds the gateway as far as it was, however much later it is."""
    with ended(model, tmp_path, stream_drain_seconds=5) as running:
        process = running.system.process
        process.send_signal(signal.SIGTERM)
        running.system.wait_for_output("stopping:")
        everything = [process.pid, *running.processes]
        for pid in everything:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(50)  # what is tested: longer than a gateway may take to drain for so long, and to end
        for pid in everything:
            os.kill(pid, signal.SIGCONT)
            time.sleep(1 if pid == process.pid else 0)  # what is tested: it finds the others still asleep
    assert not running.system.has_said("killing it")
    assert all(outcome.error for outcome in running.outcomes)
