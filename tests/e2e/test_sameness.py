"""DESIGN invariant 2 over the wire: a token is a function of its own request, not of what ran beside it."""
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from system import DEMO_MODEL, TINY_MODEL, System, metric, until
from wire import Call, channel, generate, request, services

STREAMS = 32
CROWD = 16  # requests that run all the time beside the streams


class Crowd:
    """CROWD requests that go on for as long as this stands: whoever comes meanwhile, however late, shares its steps with
    them. So no stream's company hangs on how fast anybody is."""

    def __init__(self, stub, group):
        self.stub, self.group = stub, group
        self.leaving, self.lock, self.calls, self.errors = False, threading.Lock(), {}, []
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(CROWD)]

    def _run(self, i):
        prompt = [1 + i] * (1 + 3 * i)
        while True:
            with self.lock:
                if self.leaving:
                    return
                self.calls[i] = Call(self.stub, request(self.group, prompt, seed=i, max_tokens=400))
            try:
                for _ in self.calls[i]:
                    pass
            except grpc.RpcError as error:
                if not self.leaving:
                    self.errors.append(error)
                    return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        with self.lock:
            self.leaving = True
            for call in self.calls.values():
                call.cancel()
        for thread in self.threads:
            thread.join()
        assert not self.errors


def workload(vocabulary, least_tokens):
    """32 prompts of mixed lengths with their seeds and sampling."""
    draw = random.Random(1)
    requests = []
    for seed in range(STREAMS):
        ids = [draw.randrange(vocabulary) for _ in range(draw.choice([1, 5, 16, 17, 40, 90, 150]))]
        sampling = draw.choice([{}, {"top_k": 20, "top_p": 0.95}, {"repetition_penalty": 1.2, "min_p": 0.05},
                                {"presence_penalty": 0.5, "frequency_penalty": 0.5}])
        requests.append((ids, seed, least_tokens + draw.randrange(24), sampling))
    return requests


def solo(stub, group, requests):
    return [generate(stub, request(group, ids, seed, tokens, **sampling)) for ids, seed, tokens, sampling in requests]


def together(stub, group, requests):
    with ThreadPoolExecutor(len(requests)) as pool:
        jobs = [pool.submit(generate, stub, request(group, ids, seed, tokens, **sampling))
                for ids, seed, tokens, sampling in requests]
        return [job.result() for job in jobs]


# Few blocks: the crowd alone wants 400 of 16 tokens. A target that no step meets: prompts go on by the block.
CONFIGURATIONS = [dict(prefill_chunk=1), dict(prefill_chunk=16), dict(prefill_chunk=512),
                  dict(prefill_chunk=16, kv_blocks=100, admit_headroom=0), dict(target_step_ms=1)]


def check(model, ranks, configurations):
    requests = workload(250 if model == TINY_MODEL else 49000, least_tokens=24)
    reference = None
    for configuration in configurations:
        with System(model, tensor_parallel=ranks, max_sequences=STREAMS + CROWD, **configuration) as system:
            [group] = system.groups()
            rank0 = group["rank_metrics"][0]
            with channel(group) as connection:
                stub = services.InferenceStub(connection)
                if reference is None:
                    reference = solo(stub, group, requests)
                    assert metric(rank0, "quire_worker_batch_sequences_max") == 1
                with Crowd(stub, group):
                    until(f"a batch of {CROWD}", lambda: metric(rank0, "quire_worker_batch_sequences_max") >= CROWD)
                    if "kv_blocks" in configuration:
                        until("a preemption", lambda: metric(rank0, "quire_worker_preemptions_total") > 0)
                    results = together(stub, group, requests)
            until("an idle engine", lambda: metric(rank0, "quire_worker_requests_running") == 0)
        for i, (got, wanted) in enumerate(zip(results, reference)):
            assert got[0] == wanted[0], f"tokens of stream {i} with {configuration}"
            assert got[1] == wanted[1], f"logprobs of stream {i} with {configuration}"


@pytest.mark.tiny
@pytest.mark.parametrize("ranks", [1, 2])
def test_tiny(ranks):
    check(TINY_MODEL, ranks, CONFIGURATIONS)


@pytest.mark.full
def test_demo():
    check(DEMO_MODEL, 2, CONFIGURATIONS[2:])
