"""A pause of everything (a laptop's sleep, a virtual machine's, a debugger's) kills no group and no stream."""
import contextlib
import os
import signal
import threading
import time

import pytest
from generated import tiny_long
from stream import Stream
from system import DEMO_MODEL, System, http, metric, metrics, until

SILENCE_LIMIT_S = 10.0  # after which a rank that alone is silent is taken for dead
MOST_FAILURES = 3  # of a request's attempts
TOKENS = 60000


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with System(tiny_long(tmp_path_factory.mktemp("model"), TOKENS), tensor_parallel=2) as system:
        yield system


class LongStream:
    """A client that reads an answer which takes minutes, and leaves in the end."""

    def __init__(self, system):
        self.payloads, self._leaving = [], False
        self._stream = Stream(system, "Tell me a long story.", max_tokens=TOKENS, ignore_eos=True)
        self._reader = threading.Thread(target=self._read)

    def _read(self):
        for payload in self._stream:
            self.payloads.append(payload)
            if self._leaving:
                return

    def __enter__(self):
        self._reader.start()
        return self

    def __exit__(self, *_):
        self._leaving = True
        self._reader.join()  # it goes on, or is over
        self._stream.close()

    def goes_on(self):
        """Waits for more of the answer. No end has come, neither of its own nor by an error."""
        enough = len(self.payloads) + 20
        until("a stream that goes on", lambda: len(self.payloads) > enough or not self._reader.is_alive())
        assert self._reader.is_alive() and all("choices" in payload and not any(
            choice["finish_reason"] for choice in payload["choices"]) for payload in self.payloads), self.payloads[-3:]


def made(system):
    """Tokens that the group has computed for its streams."""
    [group] = system.groups()
    return metric(group["rank_metrics"][0], "quire_worker_emitted_tokens_total")


@contextlib.contextmanager
def stopped(pids):
    """All of them, first to last, and again in the same order: the first to wake finds the others still asleep."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("what", ["ranks", "everything"])
def test_a_pause_of_all_kills_nobody(running, what):
    [before] = running.groups()
    ranks = before["process"]["pids"]
    assert len(ranks) == 2
    pids = ranks if what == "ranks" else [running.pid_of("coordinator"), running.pid_of("gateway"), *ranks]
    with LongStream(running) as stream:
        stream.goes_on()
        with stopped(pids):
            # The gateway's patience ends before that: where it is awake, the stream goes on by a Readmit to the same group.
            time.sleep(1.2 * SILENCE_LIMIT_S)  # what is tested: longer than a rank's patience with another
        stream.goes_on()
        before_that = made(running)
        until("a group that computes", lambda: made(running) > before_that)
    status, answer = running.chat("And another one.", max_tokens=4)
    assert status == 200, answer
    [after] = running.groups()
    assert after["epoch"] == before["epoch"] and after["process"]["pids"] == ranks


def test_a_gateway_that_is_stopped_again_and_again_blames_no_group(running):
    """It lets its connections down, more often than a request's attempts may fail."""
    def moved():
        return metric(running.gateway_metrics(), "quire_gateway_migrations_total")

    before = moved()
    with LongStream(running) as stream:
        def broken_often_enough():
            stream.goes_on()
            if moved() > before + MOST_FAILURES:
                return True
            with stopped([running.pid_of("gateway")]):
                time.sleep(5)  # what is tested: longer than a worker's patience with a connection
            return False
        until("connections that broke", broken_often_enough)


def test_a_gateway_that_slept_through_a_restart_refuses_nobody():
    """It hears of the coordinator's end, sleeps for longer than its patience, and wakes when the next one is long there."""
    with System(DEMO_MODEL) as system:
        def serves():
            with contextlib.suppress(OSError):  # nobody listens yet
                return system.groups()[0]["state"] == "serving"

        gateway = system.pid_of("gateway")
        with stopped([system.process.pid]):
            os.kill(system.pid_of("coordinator"), signal.SIGKILL)
            until("a gateway that has noticed", lambda: http("GET", f"http://{system.gateway_metrics()}/readyz")[0] == 503)
            answers = []
            asking = threading.Thread(target=lambda: answers.append(system.chat("Hi", max_tokens=3)))
            asking.start()
            until("a chat that waits", lambda: metrics(system.gateway_metrics())['quire_http_connections{plane="api"}'] == 1)
            os.kill(gateway, signal.SIGSTOP)
        try:
            until("the next coordinator's group", serves)
            time.sleep(9)  # what is tested: longer than a gateway's patience with a coordinator
        finally:
            os.kill(gateway, signal.SIGCONT)
        asking.join()
        assert answers[0][0] == 200, answers
        assert system.chat("Hi", max_tokens=3)[0] == 200
