"""Whatever happens to a group, its answers go on on another one: nothing is cut, and the client's bytes, its usage and the
bill are those of a run that nobody disturbed."""
import itertools
import os
import random
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from generated import tiny_long
from stream import Outcome, Stream
from system import BIN, DEMO_MODEL, System, metric, until
from wire import health

STREAMS = 24
MOST_TOKENS = 10000  # of an answer: a run of those takes longer than a kill and a restart, however fast the machine is
PATIENCE_S = 300  # nothing here depends on how fast it comes


def workload(tokens):
    """Mixed: greedy, seeded, with penalties, with stop strings, each of them streamed and whole. Prompts differ from their first words (a
    template's own system message would be the same), so that no stream finds another's prefix in a cache: how much it found
    would depend on who came first, and be in its bill."""
    draw = random.Random(7)
    kinds = [{"temperature": 0}, {}, {"top_p": 0.9}, {"presence_penalty": 0.7, "frequency_penalty": 0.3},
             {"temperature": 0, "repetition_penalty": 1.1}, {"stop": ["e", "zq"], "min_tokens": tokens // 2}]
    requests = []
    for i in range(STREAMS):
        fields = {"seed": i, "max_tokens": tokens + draw.randrange(tokens // 4), "ignore_eos": True, **kinds[i % len(kinds)]}
        fields["messages"] = [{"role": "system", "content": f"{i:02} {draw.random()} is your name."},
                              {"role": "user", "content": "Tell me a long story."}]
        requests.append((fields, i // len(kinds) % 4 == 3))
    return requests


class Reader:
    """One client: reads its answer, and says how many tokens have come. `send`: how it treats a request that isn't taken."""

    def __init__(self, system, key, fields, whole, send):
        self.system, self.key, self.fields, self.whole, self.send = system, key, fields, whole, send
        self.received, self.text, self.reason, self.usage, self.error, self.ends = 0, "", None, None, None, 0

    def run(self, changed):
        if self.whole:
            status, answer = self.send(lambda: self.system.chat("", self.key, **self.fields))
            self.error = None if status == 200 else answer
            if status == 200:
                self.text, self.reason = answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]
                self.usage = answer["usage"]
            self.ends = 1
            return self
        for payload in self.send(lambda: Stream(self.system, "", self.key, **self.fields)):
            if payload == "[DONE]":
                self.ends += 1
            elif "error" in payload:
                self.error = payload["error"]
            else:
                self._take(payload)
            with changed:
                self.received += 1
                changed.notify_all()
        return self

    def _take(self, chunk):
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            self.text += choice["delta"].get("content") or ""
            self.reason = choice["finish_reason"] or self.reason

    def result(self):
        assert self.error is None, self.error
        assert self.ends == 1
        return self.text, self.reason, self.usage


class Run:
    """All streams at once, under an account of their own; `moments` are (frames received by stream 0, what to do then)."""

    def __init__(self, system, requests, moments=(), send=lambda ask: ask()):
        self.system = system
        name = f"run{time.monotonic_ns()}"
        self.key = system.create_key(name=name, account=name)
        system.wait_for_key(self.key["key"])
        self.changed = threading.Condition()
        self.readers = [Reader(system, self.key["key"], *request, send) for request in requests]
        with ThreadPoolExecutor(len(requests)) as pool:
            jobs = [pool.submit(reader.run, self.changed) for reader in self.readers]
            for frames, act in moments:
                self._await(frames, jobs[0])
                act()
            for job in jobs:
                job.result(timeout=PATIENCE_S)
        self.results = [reader.result() for reader in self.readers]

    def _await(self, frames, job):
        """Until stream 0 has received so many frames: the moment is exact for it, and somewhere for the others. On a busy
        machine several tokens share a frame, so that it may have ended before."""
        with self.changed:
            self.changed.wait_for(lambda: self.readers[0].received >= frames or job.done(), timeout=PATIENCE_S)

    def bill(self):
        self.system.wait_for_settles()
        [row] = [row for row in self.system.usage() if row["key_id"] == self.key["id"]]
        return {name: row[name] for name in ("requests", "prompt_tokens", "cached_tokens", "completion_tokens",
                                             "cost_nano_usd")}


def check(calm, run):
    for i, (got, wanted) in enumerate(zip(run.results, calm.results)):
        assert got == wanted, f"stream {i}"
    assert run.bill() == calm.bill()


def group(system, group_id):
    return next(g for g in system.groups() if g["id"] == group_id)


def all_serving(system):
    return all(g["state"] == "serving" for g in system.groups())


def kill(system, group_id, rank, how=signal.SIGKILL):
    os.kill(group(system, group_id)["process"]["pids"][rank], how)


def await_successor(system, group_id, epoch):
    until("a successor that serves", lambda: group(system, group_id)["epoch"] != epoch and group(system, group_id)["state"] == "serving")


def no_alarms(system):
    coordinator = system.admin_url.removeprefix("http://")
    for alarm in ("conservation_alarms", "above_grant_alarms"):
        assert metric(coordinator, f"quire_coordinator_{alarm}_total") == 0
    assert metric(system.gateway_metrics(), "quire_gateway_settle_mismatches") == 0
    status, audit = system.admin("GET", "audit")
    assert status == 200 and audit["balanced"], audit


class Stage:
    """A system of two groups, its workload and the calm run. No grace for a group that is told to end: its streams move."""

    def __init__(self, model, tokens, **flags):
        self.system = System(model, tensor_parallel=2, groups=2, drain_seconds=0, **flags)
        self.rehearse(tokens)
        assert self.calm.bill()["requests"] == STREAMS

    def rehearse(self, tokens):
        self.tokens, self.requests = tokens, workload(tokens)
        until("all groups serve", lambda: all_serving(self.system))
        self.calm = Run(self.system, self.requests)

    def lengthen(self):
        assert self.tokens < MOST_TOKENS, "nothing migrates, however early the moment and long the answers"
        self.rehearse(2 * self.tokens)

    def earlier(self, frames):
        """A moment at which more of a run is still to come: an earlier one, and where there is none, of longer answers."""
        if frames == 1:
            self.lengthen()
        return max(1, frames // 2)

    def disturbed(self, *moments, send=lambda ask: ask()):
        """Runs it again with these moments, and holds it against the calm run."""
        until("all groups serve", lambda: all_serving(self.system))
        self.before = {g["id"]: g for g in self.system.groups()}
        run = Run(self.system, self.requests, moments, send)
        check(self.calm, run)
        no_alarms(self.system)

    def disturbed_until_it_migrates(self, frames, act):
        """The group may have made all before its clients have read so far."""
        before = self.migrations()
        self.disturbed((frames, act))
        while self.migrations() == before:
            frames = self.earlier(frames)
            self.disturbed((frames, act))

    def struck(self, frames, victim, rank, how):
        """At that very moment, until the victim is back. Whether anything migrated."""
        before = self.migrations()
        self.disturbed((frames, self.kill(victim, rank, how)))
        await_successor(self.system, victim, self.before[victim]["epoch"])
        return self.migrations() > before

    def struck_amid(self, frames, victim, rank, how):
        """At that very moment of answers that are long enough for something to be still to come: what migrates shows it.
        Up to the first frame that may be nothing, however long they are."""
        while not self.struck(frames, victim, rank, how) and frames > 1:
            self.lengthen()

    def migrations(self):
        return metric(self.system.gateway_metrics(), "quire_gateway_migrations_total")

    def kill(self, group_id, rank, how=signal.SIGKILL):
        """Whose pid is known before the run."""
        return lambda: os.kill(self.before[group_id]["process"]["pids"][rank], how)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_long(tmp_path_factory.mktemp("model"), 3 * MOST_TOKENS)


# A group that died again and again waits longer each time, so no stage loses many.
@pytest.fixture(scope="module")
def stage(model):
    made = Stage(model, tokens=600)
    with made.system:
        yield made


@pytest.fixture(scope="module")
def second_stage(model):
    made = Stage(model, tokens=600)
    with made.system:
        yield made


@pytest.mark.tiny
@pytest.mark.parametrize("frames,victim,rank", [(0, "g0", 0), (1, "g1", 1), (40, "g0", 1), (300, "g1", 0)])
def test_a_rank_is_killed(stage, frames, victim, rank):
    if frames > 1:
        stage.disturbed_until_it_migrates(frames, stage.kill(victim, rank))
    else:  # perhaps before anything came
        stage.disturbed((frames, stage.kill(victim, rank)))


@pytest.mark.tiny
def test_both_groups_are_killed_in_turn(model):
    """Groups that never died before: they are back at once."""
    stage, moved = Stage(model, tokens=1200), []

    def kill_one():
        moved[:] = [stage.migrations()]
        stage.kill("g0", 1)()

    def kill_the_other():
        await_successor(stage.system, "g0", stage.before["g0"]["epoch"])
        moved.append(stage.migrations())
        stage.kill("g1", 1)()
    with stage.system:
        while True:
            stage.disturbed((1, kill_one), (1, kill_the_other))
            if moved[0] < moved[1] < stage.migrations():
                break
            stage.lengthen()  # they were over before the first one was back


@pytest.mark.tiny
@pytest.mark.parametrize("frames,victim,rank", [(20, "g0", 0), (150, "g1", 1)])
def test_a_group_is_told_to_end(second_stage, frames, victim, rank):
    """SIGTERM to any rank is meant for the group: nothing new comes, what does not end in its grace goes on elsewhere."""
    before = group(second_stage.system, victim)
    second_stage.disturbed_until_it_migrates(frames, second_stage.kill(victim, rank, signal.SIGTERM))
    await_successor(second_stage.system, victim, before["epoch"])


@pytest.mark.tiny
def test_a_rank_stops_beating(second_stage):
    """The others find it and end, and the group is restarted, the stopped rank with it."""
    second_stage.disturbed_until_it_migrates(20, second_stage.kill("g0", 1, signal.SIGSTOP))
    before = second_stage.before["g0"]
    await_successor(second_stage.system, "g0", before["epoch"])
    assert not os.path.exists(f"/proc/{before['process']['pids'][1]}")
    assert '"reason":"rank 1 is stopped' in (second_stage.system.data / "logs/g0-rank0.log").read_text()


def programs_that_may_hang(folder, hang):
    """Those of this build, but the workers are scripted ranks: rank 1 of epoch 1 hangs in a step once the file is there."""
    folder.mkdir()
    shutil.copy(BIN / "quire", folder)  # looks for the others beside it
    for program in ("quire-coordinator", "quire-gateway"):
        (folder / program).symlink_to(BIN / program)
    mock = f"exec {BIN}/quire-mock-group --first-id 100 --end-id 200 --token-interval-us 20000"
    (folder / "quire-worker").write_text(f"""#!/bin/sh
case " $* " in
*" --check "*) exec {BIN}/quire-worker "$@" ;;
*" --group-epoch 1 --rank 1 "*) {mock} --hang-file {hang} "$@" ;;
*) {mock} "$@" ;;
esac
""")
    (folder / "quire-worker").chmod(0o755)
    return folder


@pytest.mark.tiny
def test_a_rank_hangs_in_a_step(tmp_path):
    """It beats on: its step's deadline finds it. The only group is restarted, and the stream goes on there."""
    hang, fields = tmp_path / "hang", {"seed": 1, "max_tokens": 400, "ignore_eos": True}
    with System(tiny_long(tmp_path, 1000), programs=programs_that_may_hang(tmp_path / "bin", hang), tensor_parallel=2,
                kv_blocks=512) as system:
        before = group(system, "g0")
        payloads = []
        for payload in Stream(system, "Go on", **fields):
            payloads.append(payload)
            hang.touch()
        after, cut, calm = group(system, "g0"), Outcome(payloads), Outcome(Stream(system, "Go on", **fields))
        assert after["epoch"] > before["epoch"] and "exit code 70" in after["process"]["last_exit"], after
        logs = "".join(path.read_text() for path in system.data.glob("logs/g0-rank*.log"))
        assert "rank 1 did not arrive, it is computing (step " in logs
        assert cut.error is None and cut.terminals == 1
        assert cut.text == calm.text and cut.usage["completion_tokens"] == calm.usage["completion_tokens"] == 400


@pytest.mark.tiny
def test_a_dead_group_is_known_as_dead_and_comes_back(second_stage):
    system = second_stage.system
    until("all groups serve", lambda: all_serving(system))
    victim = group(system, "g1")
    kill(system, "g1", 1)
    until("the group is seen to be lost", lambda: not health(victim))
    status, answer = system.chat("Meanwhile", max_tokens=4)
    assert status == 200, answer
    await_successor(system, "g1", victim["epoch"])


def restart_in_turn(system):
    for victim in system.groups():
        kill(system, victim["id"], 0, signal.SIGTERM)
        await_successor(system, victim["id"], victim["epoch"])


@pytest.mark.full
def test_rolling_restart(model):
    made = Stage(model, tokens=700)
    with made.system:
        made.disturbed_until_it_migrates(10, lambda: restart_in_turn(made.system))


SWEEP = [*range(0, 18, 6), *range(20, 320, 60)]


@pytest.mark.full
@pytest.mark.parametrize("how,first", [*itertools.product([signal.SIGKILL], SWEEP),
                                       *itertools.product([signal.SIGTERM, signal.SIGSTOP], SWEEP[::3])],
                         ids=lambda value: getattr(value, "name", str(value)))
def test_the_whole_sweep(model, how, first):
    """Six moments each, on fresh groups."""
    made = Stage(model, tokens=600)
    step = 1 if first < 18 else 10
    with made.system:
        for i in range(6):
            made.struck_amid(first + i * step, f"g{i % 2}", i // 2 % 2, how)


def test_each_kind_of_request_comes_streamed_and_whole():
    kinds = {}
    for fields, whole in workload(600):
        settings = {name: fields[name] for name in ("temperature", "top_p", "presence_penalty", "stop", "repetition_penalty")
                    if name in fields}
        kinds.setdefault(str(settings), set()).add(whole)
    assert len(kinds) == 6 and all(ways == {False, True} for ways in kinds.values()), kinds
    assert not workload(600)[0][1]  # the moments are its frames


@pytest.mark.full
def test_a_model_with_real_text():
    made = Stage(DEMO_MODEL, tokens=60)
    with made.system:
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
            made.disturbed_until_it_migrates(15, made.kill("g0", 1, how))
