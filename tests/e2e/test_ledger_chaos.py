"""The ledger's rows against what clients read, request by request, through kills of the coordinator and of the gateway at
random moments under load over two groups."""
import http.client
import os
import random
import signal
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal

from stream import Outcome, Stream
from system import TINY_MODEL, System, metric, until

ACCOUNTS, COORDINATOR_KILLS, GATEWAY_KILLS, CLIENTS = 100, 10, 4, 12
GONE = (OSError, http.client.HTTPException)  # of a connection whose gateway was killed


@dataclass
class Seen:
    """What the client of one request saw."""
    key_id: str
    max_tokens: int
    id: bytes = b""      # of the request, once the gateway has said it
    status: int = 0
    usage: dict = field(default_factory=dict)
    frames: int = 0      # with text: each holds at least one position
    end: str = "cut"     # or: finished, error, refused, left


def request_id(chat_id):
    return bytes.fromhex(chat_id.removeprefix("chatcmpl-"))


def ask_whole(system, seen, key, content, fields):
    seen.status, answer = system.chat(content, key, **fields)
    if seen.status != 200:
        seen.end = "refused"
        return
    seen.id, seen.usage, seen.end = request_id(answer["id"]), answer["usage"], "finished"


def watched(stream, seen):
    for payload in stream:
        if payload != "[DONE]" and "error" not in payload:
            seen.id = request_id(payload["id"])
            seen.frames += sum(bool(choice["delta"].get("content")) for choice in payload["choices"])
        yield payload


def ask_stream(system, seen, key, content, fields, leave_after=None):
    stream = Stream(system, content, key, **fields)
    seen.status = stream.status
    try:
        if stream.status != 200:
            seen.end = "refused"
            return
        payloads = watched(stream, seen)
        if leave_after is not None:
            if any(seen.frames >= leave_after for _ in payloads):
                seen.end = "left"
                return
        outcome = Outcome(payloads)
        if outcome.done and leave_after is None:
            assert outcome.terminals == 1
            seen.usage = outcome.usage or {}
            seen.end = "error" if outcome.error else "finished"
    finally:
        stream.close()


def ask_until_served(system, i, key):
    """Every try, the served one last: while nobody answers, a client comes back."""
    tries = []

    def served():
        tries.append(one_request(system, i, key))
        return tries[-1].id
    until("somebody who answers", served)
    return tries


def one_request(system, i, key):
    draw = random.Random(i)
    kind = draw.choice(["stream", "stream", "whole", "leave"])
    fields = {"max_tokens": draw.randrange(1, 120), "seed": i, "ignore_eos": draw.random() < 0.5}
    if kind == "leave":
        fields |= {"max_tokens": 900, "ignore_eos": True}
    seen = Seen(key["id"], fields["max_tokens"])
    try:
        if kind == "whole":
            ask_whole(system, seen, key["key"], f"Request {i}", fields)
        else:
            ask_stream(system, seen, key["key"], f"Request {i}", fields, draw.randrange(1, 60) if kind == "leave" else None)
    except GONE:
        pass  # cut, or never connected
    return seen


def kill(system, program, stop):
    """Kills the running one; the launcher starts another."""
    while not stop.is_set():
        try:
            return os.kill(system.pid_of(program), signal.SIGKILL)
        except (LookupError, OSError):
            stop.wait(0.05)  # between two lives


def kill_at_random(system, stop):
    draw = random.Random(42)
    victims = ["coordinator"] * COORDINATOR_KILLS + ["gateway"] * GATEWAY_KILLS
    draw.shuffle(victims)
    for victim in victims:
        stop.wait(draw.uniform(0.2, 1.5))
        kill(system, victim, stop)


ENOUGH = {"finished": 50, "left": 10}


def enough(seen):
    return all(sum(one.end == end for one in seen) >= least for end, least in ENOUGH.items())


def load_through_kills(system, keys):
    """Every key is served once, then again in turn until the last kill has happened, and enough behind it: of those before,
    however many may stay open, since their gateway died before it had settled them. All tries."""
    stop = threading.Event()
    killer = threading.Thread(target=kill_at_random, args=(system, stop))
    killer.start()
    seen, begun, calm_from = [], 0, None
    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            def all_served():
                nonlocal begun, calm_from
                if calm_from is None and not killer.is_alive():
                    calm_from = len(seen)
                numbers = range(begun, begun + CLIENTS)
                begun += CLIENTS
                for tries in pool.map(lambda i: ask_until_served(system, i, keys[i % len(keys)]), numbers):
                    seen.extend(tries)
                return begun >= len(keys) and calm_from is not None and enough(seen[calm_from:])
            until("all kills, and requests enough", all_served, limit=1200)
    finally:
        stop.set()
        killer.join()
    return seen


def gateway_is_back(system):
    try:
        return metric(system.gateway_metrics(), "quire_gateway_streams_open") >= 0
    except (*GONE, AssertionError):
        return False


@dataclass
class Books:
    """The ledger's rows."""
    entries: dict    # request id -> row
    requests: dict
    delivered: dict

    @classmethod
    def read(cls, path):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            database.row_factory = sqlite3.Row
            entries, requests = ({row["id"]: row for row in database.execute(f"SELECT * FROM {table}")}
                                 for table in ("entry", "request"))
            delivered = dict(database.execute("SELECT request_id, sum(tokens) FROM delivered GROUP BY 1"))
        return cls(entries, requests, delivered)


OPEN = 0


def check(seen, books):
    """One request's rows against what its client saw. Open is what the reaper will close: its gateway died."""
    entry, request = books.entries.get(seen.id), books.requests.get(seen.id)
    if not seen.id:
        assert seen.end == "cut" or seen.status == 503, seen
        return seen.end
    assert request is not None, f"{seen}: text without an admitted request"
    posted = entry["completion_tokens"] if entry else books.delivered.get(seen.id, 0)
    assert posted <= seen.max_tokens, seen
    is_open = request["state"] == OPEN
    assert (entry is not None) == (not is_open and posted > 0), seen
    if seen.end == "finished":
        usage = seen.usage
        assert posted <= usage["completion_tokens"], seen
        if entry:  # equal to the unit
            assert (entry["prompt_tokens"], entry["completion_tokens"], entry["key_id"]) == (
                usage["prompt_tokens"], usage["completion_tokens"], seen.key_id), seen
            assert entry["amount"] == Decimal(repr(usage["estimated_cost"])) * 10**9, seen
    elif entry:  # the gateway lived: it billed at least what this client read
        assert posted >= seen.frames, seen
    return "open" if is_open else seen.end


def check_all(seen, books):
    counts = {}
    for one in seen:
        verdict = check(one, books)
        counts[verdict] = counts.get(verdict, 0) + 1
    ids = {one.id for one in seen if one.id}
    assert len(ids) == sum(bool(one.id) for one in seen)
    # What no client can name: its reply never came.
    nameless = [row for request, row in books.entries.items() if request not in ids and row["completion_tokens"]]
    assert len(nameless) <= sum(one.end == "cut" and not one.id for one in seen), nameless
    print("by how they ended:", counts)
    return counts


def test_every_row_is_what_its_client_read():
    with System(TINY_MODEL, tensor_parallel=2, groups=2) as system:
        before = {group["id"]: group for group in system.groups()}
        keys = [system.create_key(name=f"k{i}", account=f"a{i}") for i in range(ACCOUNTS)]
        system.wait_for_key(keys[-1]["key"])
        seen = load_through_kills(system, keys)
        until("the gateway back", lambda: gateway_is_back(system))
        system.wait_for_settles()

        # Workers outlive coordinators and gateways: the groups are those that were there.
        for group in system.groups():
            old = before[group["id"]]
            if group["epoch"] != old["epoch"]:
                print(group, system.logs())  # shown with a failure
            assert (group["epoch"], group["process"]["restarts"]) == (old["epoch"], 0)
        status, audit = system.admin("GET", "audit")
        assert status == 200 and audit["balanced"], audit
        coordinator = system.admin_url.removeprefix("http://")
        for alarm in ("conservation_alarms", "above_grant_alarms"):
            assert metric(coordinator, f"quire_coordinator_{alarm}_total") == 0
        usage = {row["key_id"]: row for row in system.usage()}
        assert system.stop() == 0
        books = Books.read(system.data / "ledger.db")

    counts = check_all(seen, books)
    assert all(counts.get(end, 0) >= least for end, least in ENOUGH.items())
    for key in keys:  # what the operator is told is the sum of the rows
        rows = [row for row in books.entries.values() if row["key_id"] == key["id"]]
        told = usage.get(key["id"], {"completion_tokens": 0, "cost_nano_usd": 0})
        assert sum(row["completion_tokens"] for row in rows) == int(told["completion_tokens"])
        assert sum(row["amount"] for row in rows) == int(told["cost_nano_usd"])
