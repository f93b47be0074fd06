"""A pause of everything (a laptop's sleep, a virtual machine's, a debugger's) kills no group and no stream."""
import contextlib
import os
import signal
import threading
import time

import pytest
from stream import Outcome, Stream
from system import DEMO_MODEL, System, http, metric, metrics, until

SILENCE_LIMIT_S = 10.0  # after which a rank that alone is silent is taken for dead
MOST_FAILURES = 3  # of a request's attempts
STREAMS = 5  # how many are tried where the machine is so fast that an answer is over too soon


@pytest.fixture(scope="module")
def running():
    with System(DEMO_MODEL, tensor_parallel=2) as system:
        yield system


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
    stream = Stream(running, "Tell me a long story.", max_tokens=300, ignore_eos=True)
    payloads = iter(stream)
    first = [next(payloads) for _ in range(5)]
    with stopped(pids):
        # What is tested, not waited for. Of the ranks alone, less than the gateway's and the coordinator's patience.
        time.sleep(2.2 if what == "ranks" else 1.2 * SILENCE_LIMIT_S)
    outcome = Outcome(first + list(payloads))
    assert outcome.error is None and outcome.finish_reason == "length" and outcome.done == 1
    assert outcome.text
    status, answer = running.chat("And another one.", max_tokens=4)
    assert status == 200, answer
    [after] = running.groups()
    assert after["epoch"] == before["epoch"] and after["process"]["pids"] == ranks


def test_a_gateway_that_is_stopped_again_and_again_blames_no_group(running):
    """It lets its connections down, more often than a request's attempts may fail."""
    def moved():
        return metric(running.gateway_metrics(), "quire_gateway_migrations_total")

    def moves_of_one_stream():
        received, before = [], moved()

        def read():
            for payload in Stream(running, "Tell me a long story.", max_tokens=1500, ignore_eos=True):
                received.append(payload)

        reader = threading.Thread(target=read)
        reader.start()
        while reader.is_alive() and moved() < before + MOST_FAILURES + 1:
            enough = len(received) + 20
            until("a stream that goes on", lambda: len(received) > enough or not reader.is_alive())
            with stopped([running.pid_of("gateway")]):
                time.sleep(5)  # what is tested: longer than a worker's patience with a connection
        reader.join()
        outcome = Outcome(received)
        assert outcome.error is None and outcome.finish_reason == "length" and outcome.done == 1
        return moved() - before

    for _ in range(STREAMS):
        if moves_of_one_stream() >= MOST_FAILURES:
            return
    pytest.skip(f"{STREAMS} answers were over before enough connections of theirs broke: nothing is shown")


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
