"""The ledger against what clients read, through 20 kills of the coordinator at random moments under load."""
import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from stream import Outcome, Stream
from system import TINY_MODEL, System, metric


REQUESTS, KILLS = 200, 20


class Tally:
    """What the clients saw."""

    def __init__(self):
        self.lock = threading.Lock()
        self.finished, self.aborted, self.refused, self.failed = [], [], 0, 0


def one_request(system, i, tally):
    draw = random.Random(i)
    kind = draw.choice(["stream", "stream", "plain", "abort"])
    fields = {"max_tokens": draw.randrange(1, 120), "seed": i, "ignore_eos": draw.random() < 0.5}
    if kind == "plain":
        status, answer = system.chat(f"Request {i}", **fields)
        with tally.lock:
            if status == 200:
                tally.finished.append(answer["usage"])
            else:
                assert status == 503, answer
                tally.refused += 1
        return
    if kind == "abort":
        fields["max_tokens"], fields["ignore_eos"] = 900, True
    stream = Stream(system, f"Request {i}", **fields)
    if stream.status != 200:
        assert stream.status == 503
        with tally.lock:
            tally.refused += 1
        return
    if kind == "abort":
        received, wanted = 0, draw.randrange(1, 60)
        for payload in stream:
            if payload == "[DONE]" or "error" in payload:
                break
            received += 1  # the role frame, then at most one token a frame
            if received > wanted:
                break
        stream.close()
        with tally.lock:
            tally.aborted.append(max(0, received - 1))
        return
    outcome = Outcome(stream)
    assert outcome.terminals == 1
    with tally.lock:
        if outcome.usage and outcome.finish_reason:
            tally.finished.append(outcome.usage)
        else:
            tally.failed += 1


def kill_coordinators(system, load_ended):
    draw = random.Random(42)
    for _ in range(KILLS):
        if load_ended.wait(draw.uniform(0.2, 1.5)):
            break
        while True:
            try:
                os.kill(system.pid_of("coordinator"), signal.SIGKILL)
                break
            except (LookupError, ProcessLookupError):
                load_ended.wait(0.05)


def test_ledger_is_the_sum_of_usage():
    with System(TINY_MODEL, tensor_parallel=2) as system:
        [before] = system.groups()
        tally, load_ended = Tally(), threading.Event()
        killer = threading.Thread(target=kill_coordinators, args=(system, load_ended))
        killer.start()
        with ThreadPoolExecutor(12) as pool:
            jobs = [pool.submit(one_request, system, i, tally) for i in range(REQUESTS)]
            # The load goes on until every kill has happened.
            extra = REQUESTS
            while killer.is_alive():
                jobs.append(pool.submit(one_request, system, extra, tally))
                extra += 1
                jobs[-1].result()
            for job in jobs:
                job.result()
        load_ended.set()
        killer.join()
        system.wait_for_settles()

        rows = system.usage()
        billed = {field: sum(int(row[field]) for row in rows)
                  for field in ("prompt_tokens", "completion_tokens", "cost_nano_usd")}
        finished = sum(usage["completion_tokens"] for usage in tally.finished)
        finished_cost = sum(Decimal(repr(usage["estimated_cost"])) for usage in tally.finished) * 10**9
        delivered = metric(system.gateway_metrics(), "quire_gateway_tokens_delivered_total")
        print(f"finished {len(tally.finished)} aborted {len(tally.aborted)} refused {tally.refused} "
              f"failed {tally.failed}; billed {billed}, usage {finished}, delivered {delivered}")
        assert len(tally.finished) >= 50 and len(tally.aborted) >= 10
        # Finished requests equal to the unit; what is above them was billed to streams that were cut.
        assert finished + sum(tally.aborted) <= billed["completion_tokens"] <= delivered
        assert finished_cost <= billed["cost_nano_usd"]
        if not tally.aborted and not tally.failed:
            assert finished_cost == billed["cost_nano_usd"]
        # Workers outlive their coordinator: the group is the one that was there, taken over by each successor.
        [after] = system.groups()
        assert (after["epoch"], after["process"]["restarts"]) == (before["epoch"], 0)
        status, audit = system.admin("GET", "audit")
        assert status == 200 and audit["balanced"], audit


def test_per_request_bills_equal_usage_to_the_unit():
    """Each finished request on a key of its own, through kills: its bill is its usage, to the last digit."""
    with System(TINY_MODEL, tensor_parallel=2) as system:
        load_ended = threading.Event()
        keys = [system.create_key(name=f"k{i}", account=f"a{i}") for i in range(40)]
        killer = threading.Thread(target=kill_coordinators, args=(system, load_ended))
        killer.start()

        def ask(key):
            client = system.openai(api_key=key["key"], timeout=120)
            try:
                answer = client.chat.completions.create(model=system.model, max_tokens=40, seed=1,
                                                        messages=[{"role": "user", "content": key["id"]}])
                return key, answer.usage
            except Exception as error:  # refused while no coordinator answers: then nothing may be billed
                assert getattr(error, "status_code", None) in (401, 503), error
                return key, None
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(ask, keys * 3))
        load_ended.set()
        killer.join()
        system.wait_for_settles()
        rows = {row["key_id"]: row for row in system.usage()}
        for key in keys:
            usages = [usage for k, usage in answers if k is key and usage]
            row = rows.get(key["id"], {"completion_tokens": 0, "cost_nano_usd": 0})
            assert int(row["completion_tokens"]) == sum(u.completion_tokens for u in usages)
            assert Decimal(row["cost_nano_usd"]) == sum(Decimal(repr(u.estimated_cost)) for u in usages) * 10**9
