"""What the workers' own counters show from outside: cancellation, shards, blocks."""
import json
import os
import signal

import grpc
import pytest
from stream import Stream
from system import TINY_MODEL, System, metric, until
from wire import Call, Session, channel, generate, request, services

pytestmark = pytest.mark.tiny


@pytest.fixture(scope="module")
def tiny():
    with System(TINY_MODEL, tensor_parallel=2) as running:
        yield running


def wait_until_idle(rank0):
    until("an idle engine", lambda: metric(rank0, "quire_worker_requests_running") == 0
          and metric(rank0, "quire_worker_requests_waiting") == 0)


def leave_a_chat(system):
    stream = Stream(system, "Go on for ever.", max_tokens=900, ignore_eos=True)
    payloads = iter(stream)
    for _ in range(4):
        next(payloads)
    stream.close()


def leave_the_wire(group, seed):
    with channel(group) as connection:
        call = Call(services.InferenceStub(connection), request(group, [1, 2, 3], seed, max_tokens=900))
        next(iter(call))
        call.cancel()


def test_a_client_that_leaves_costs_at_most_two_steps(tiny):
    [group] = tiny.groups()
    rank0 = group["rank_metrics"][0]
    left = []

    def another_is_counted():
        """Leaves once more: where this client is slow, the answer may be whole before it leaves."""
        left.append(1)
        leave_a_chat(tiny)
        leave_the_wire(group, len(left))
        return metric(rank0, "quire_worker_cancels_total") >= 10
    until("ten cancels", another_is_counted)
    wait_until_idle(rank0)
    assert metric(rank0, "quire_worker_steps_after_cancel_max") <= 2


def test_no_block_is_leaked(tiny):
    [group] = tiny.groups()
    rank0 = group["rank_metrics"][0]
    wait_until_idle(rank0)
    free = metric(rank0, "quire_worker_kv_blocks_free")
    assert free == metric(rank0, "quire_worker_kv_blocks_total")


def test_each_rank_holds_its_slice_only(tiny):
    [group] = tiny.groups()
    config = json.loads((TINY_MODEL / "config.json").read_text())
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    whole = (TINY_MODEL / "model.safetensors").stat().st_size
    held = [metric(address, "quire_worker_weight_bytes") for address in group["rank_metrics"]]
    assert len(held) == 2 and all(0 < part < whole for part in held)
    # Matrices are held once over all ranks; norms and some biases on every rank.
    replicated = 4 * hidden * (2 * config["num_hidden_layers"] + 1) + 4 * vocabulary
    assert sum(held) <= whole + 2 * replicated


def test_a_session_serves_many_and_waits_for_no_reader(tiny):
    [group] = tiny.groups()
    with channel(group) as connection:
        stub = services.InferenceStub(connection)
        wanted = [generate(stub, request(group, [5, 6], seed=seed, max_tokens=60))[0] for seed in range(6)]
        session = Session(stub)
        slow = session.submit(request(group, [5, 6], seed=0, max_tokens=60), credit=3)
        tags = [slow] + [session.submit(request(group, [5, 6], seed=seed, max_tokens=60)) for seed in range(1, 6)]
        got, ended = {tag: () for tag in tags}, set()
        for update in session.updates():
            got[update.tag] += tuple(update.tokens.ids)
            ended |= {update.tag} if update.HasField("ended") else set()
            if len(ended) == 5 and slow not in ended:
                assert len(got[slow]) <= 3
                session.grant(slow, 57)
            if len(ended) == 6:
                break
        session.close()
        assert [got[tag] for tag in tags] == wanted


def test_a_coordinator_that_stops_lets_its_groups_end_their_work():
    with System(TINY_MODEL, tensor_parallel=2, kv_blocks=4096, drain_seconds=600) as system:
        group = system.groups()[0]
        with channel(group) as connection:
            session = Session(services.InferenceStub(connection))
            tags = {session.submit(request(group, [1, 2, 3], seed=seed, max_tokens=1000)) for seed in range(64)}
            begun, finished = set(), set()
            with pytest.raises(grpc.RpcError) as ended:  # on purpose, when the worker closes
                for update in session.updates():
                    assert not update.HasField("ended") or update.ended.code == 0, update
                    finished |= {update.tag} if update.HasField("finished") else set()
                    if update.tag not in begun:
                        begun.add(update.tag)
                        if begun == tags:
                            os.kill(system.pid_of("coordinator"), signal.SIGTERM)
            assert finished == tags
            assert ended.value.code() == grpc.StatusCode.ABORTED
