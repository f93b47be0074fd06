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


class Account:
    """What the clients of one key saw."""

    def __init__(self, key):
        self.id, self.key = key["id"], key["key"]
        self.finished = []  # usage of each
        self.aborted = []   # tokens received of each that the client left
        self.refused = self.failed = 0

    def completion_tokens(self):
        return sum(usage["completion_tokens"] for usage in self.finished)

    def cost_nano_usd(self):
        return sum(Decimal(repr(usage["estimated_cost"])) for usage in self.finished) * 10**9


def ask_whole(system, account, content, fields):
    status, answer = system.chat(content, account.key, **fields)
    if status == 200:
        account.finished.append(answer["usage"])
    else:  # while no coordinator answers
        assert status == 503, answer
        account.refused += 1


def ask_stream(system, account, content, fields):
    stream = Stream(system, content, account.key, **fields)
    if stream.status != 200:
        assert stream.status == 503
        account.refused += 1
        return
    outcome = Outcome(stream)
    assert outcome.terminals == 1
    if outcome.usage and outcome.finish_reason:
        account.finished.append(outcome.usage)
    else:
        account.failed += 1


def ask_and_leave(system, account, content, fields, wanted):
    stream = Stream(system, content, account.key, **{**fields, "max_tokens": 900, "ignore_eos": True})
    if stream.status != 200:
        assert stream.status == 503
        account.refused += 1
        return
    received = 0
    for payload in stream:
        if payload == "[DONE]" or "error" in payload:
            break
        received += 1  # the role frame, then at most one token a frame
        if received > wanted:
            break
    stream.close()
    account.aborted.append(max(0, received - 1))


def one_request(system, i, account):
    draw = random.Random(i)
    kind = draw.choice(["stream", "stream", "whole", "leave"])
    fields = {"max_tokens": draw.randrange(1, 120), "seed": i, "ignore_eos": draw.random() < 0.5}
    content = f"Request {i}"
    if kind == "whole":
        ask_whole(system, account, content, fields)
    elif kind == "stream":
        ask_stream(system, account, content, fields)
    else:
        ask_and_leave(system, account, content, fields, draw.randrange(1, 60))


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


def load_through_kills(system, accounts):
    """Every account asks once, then again in turn until the last kill has happened."""
    load_ended = threading.Event()
    killer = threading.Thread(target=kill_coordinators, args=(system, load_ended))
    killer.start()
    try:
        with ThreadPoolExecutor(12) as pool:
            for job in [pool.submit(one_request, system, i, account) for i, account in enumerate(accounts)]:
                job.result()
            i = len(accounts)
            while killer.is_alive():
                pool.submit(one_request, system, i, accounts[i % len(accounts)]).result()
                i += 1
    finally:
        load_ended.set()
        killer.join()


def check_bill(account, row):
    tokens, cost = int(row["completion_tokens"]), Decimal(row["cost_nano_usd"])
    if not account.aborted and not account.failed:  # equal to the unit
        assert (tokens, cost) == (account.completion_tokens(), account.cost_nano_usd()), account.id
    else:
        assert tokens >= account.completion_tokens() + sum(account.aborted), account.id
        assert cost >= account.cost_nano_usd(), account.id


def test_ledger_is_the_sum_of_usage():
    with System(TINY_MODEL, tensor_parallel=2) as system:
        [before] = system.groups()
        accounts = [Account(system.create_key(name=f"k{i}", account=f"a{i}")) for i in range(REQUESTS)]
        system.wait_for_key(accounts[-1].key)
        load_through_kills(system, accounts)
        system.wait_for_settles()

        rows = {row["key_id"]: row for row in system.usage()}
        for account in accounts:
            check_bill(account, rows.get(account.id, {"completion_tokens": 0, "cost_nano_usd": 0}))
        billed = sum(int(row["completion_tokens"]) for row in rows.values())
        delivered = metric(system.gateway_metrics(), "quire_gateway_tokens_delivered_total")
        finished, aborted = (sum(len(getattr(a, kind)) for a in accounts) for kind in ("finished", "aborted"))
        print(f"finished {finished} aborted {aborted} refused {sum(a.refused for a in accounts)} failed "
              f"{sum(a.failed for a in accounts)}; tokens billed {billed}, delivered {delivered}")
        assert finished >= 50 and aborted >= 10
        assert billed <= delivered
        # Workers outlive their coordinator: the group is the one that was there, taken over by each successor.
        [after] = system.groups()
        assert (after["epoch"], after["process"]["restarts"]) == (before["epoch"], 0)
        status, audit = system.admin("GET", "audit")
        assert status == 200 and audit["balanced"], audit
        coordinator = system.admin_url.removeprefix("http://")
        for alarm in ("conservation_alarms", "above_grant_alarms"):
            assert metric(coordinator, f"quire_coordinator_{alarm}_total") == 0
