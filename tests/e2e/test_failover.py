"""A dead rank: its group is NOT_SERVING within 2 s, its streams end with one error each, the other group goes on, and
the group comes back by itself."""
import os
import signal
import threading
import time

import pytest
from stream import Outcome, Stream
from wire import health


def read_all(streams):
    outcomes = [None] * len(streams)

    def read(i):
        outcomes[i] = Outcome(streams[i])
    threads = [threading.Thread(target=read, args=(i,)) for i in range(len(streams))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return outcomes


def until(condition, seconds):
    """Seconds it took; fails after the limit."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not happen"
        time.sleep(0.02)
    return time.monotonic() - start


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_rank_1_dies(pair, how):
    system = pair
    streams = [Stream(system, f"Stream {i}", max_tokens=400, ignore_eos=True, seed=i) for i in range(8)]
    victim = max(system.groups(), key=lambda group: group["running"])
    os.kill(victim["process"]["pids"][1], how)
    killed = time.monotonic()
    until(lambda: not health(victim), 2)
    assert time.monotonic() - killed < 2

    # New requests go to the other group meanwhile.
    for i in range(5):
        status, answer = system.chat(f"Meanwhile {i}", max_tokens=4)
        assert status == 200, answer

    outcomes = read_all(streams)
    assert all(outcome is not None and outcome.terminals == 1 and outcome.done == 1 for outcome in outcomes)
    cut = [outcome for outcome in outcomes if outcome.error]
    assert 0 < len(cut) < len(outcomes)  # load was spread over both groups
    assert all(outcome.finish_reason == "length" for outcome in outcomes if not outcome.error)

    def back():
        group = next(g for g in system.groups() if g["id"] == victim["id"])
        return group["epoch"] != victim["epoch"] and group["state"] == "serving"
    until(back, 60)
