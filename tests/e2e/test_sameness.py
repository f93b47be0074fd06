"""ARCHITECTURE 5.2 over the wire: a token is a function of its own request, not of what ran beside it."""
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from system import DEMO_MODEL, TINY_MODEL, System, metric, until
from wire import Session, channel, generate, request, services

STREAMS = 32
CROWD = 16  # requests that run all the time beside the streams


class Crowd:
    """CROWD requests that go on for as long as this stands, in one session: whoever comes meanwhile, however late, shares its
    steps with them. So no stream's company hangs on how fast anybody is."""

    def __init__(self, stub, group):
        self.group, self.session = group, Session(stub)
        self.leaving, self.error = False, None
        self.reader = threading.Thread(target=self._run)

    def _submit(self, i):
        return self.session.submit(request(self.group, [1 + i] * (1 + 3 * i), seed=i, max_tokens=400, logprobs=False))

    def _run(self):
        running = {self._submit(i): i for i in range(CROWD)}
        try:
            for update in self.session.updates():
                if update.HasField("ended"):
                    assert update.ended.code == 0, update
                    i = running.pop(update.tag)
                    running[self._submit(i)] = i
            raise EOFError("the worker ended the crowd's session")
        except (grpc.RpcError, AssertionError, EOFError) as error:
            self.error = None if self.leaving else error

    def __enter__(self):
        self.reader.start()
        return self

    def __exit__(self, *_):
        self.leaving = True
        self.session.cancel()
        self.reader.join()
        assert self.error is None, self.error


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
                    if "kv_blocks" in configuration:  # which may never hold all of them at once
                        until("a preemption", lambda: metric(rank0, "quire_worker_preemptions_total") > 0)
                    else:
                        until(f"a batch of {CROWD}", lambda: metric(rank0, "quire_worker_batch_sequences_max") >= CROWD)
                    results = together(stub, group, requests)
            until("an idle engine", lambda: metric(rank0, "quire_worker_requests_running") == 0)
        for i, (got, wanted) in enumerate(zip(results, reference)):
            assert got[0] == wanted[0], f"tokens of stream {i} with {configuration}"
            assert got[1] == wanted[1], f"logprobs of stream {i} with {configuration}"


@pytest.mark.tiny
@pytest.mark.parametrize("ranks", [1, 2])
def test_tiny(ranks):
    check(TINY_MODEL, ranks, CONFIGURATIONS)


@pytest.mark.parametrize("ranks", [2, 3])
def test_whether_whole_rows_or_candidates_cross(ranks):
    """Log-probabilities need every rank's part of the logits, greedy rows and top_k a few runs of it: in one batch, too."""
    ways = [dict(temperature=0), dict(temperature=0.6, top_k=20, top_p=0.95), dict(top_k=40, min_p=0.01), dict(top_k=1)]
    draw = random.Random(2)
    prompts = [[draw.randrange(49000) for _ in range(9)] for _ in range(3 * len(ways))]

    def answers(stub, group, logprobs):
        messages = [request(group, ids, seed, 24, logprobs=seed in logprobs, **ways[seed % len(ways)])
                    for seed, ids in enumerate(prompts)]
        with ThreadPoolExecutor(len(messages)) as pool:
            return [ids for ids, _ in pool.map(lambda message: generate(stub, message), messages)]

    with System(DEMO_MODEL, tensor_parallel=ranks) as system:
        [group] = system.groups()
        with channel(group) as connection:
            stub = services.InferenceStub(connection)
            whole = answers(stub, group, logprobs=range(len(prompts)))
            assert all(len(ids) == 24 for ids in whole)
            assert answers(stub, group, logprobs=[]) == whole
            assert answers(stub, group, logprobs=range(0, len(prompts), 2)) == whole


@pytest.mark.full
def test_demo():
    check(DEMO_MODEL, 2, CONFIGURATIONS[2:])
