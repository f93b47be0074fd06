"""DESIGN invariant 2 over Generate: a token is a function of its own request, not of what ran beside it."""
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from system import DEMO_MODEL, TINY_MODEL, System, metric
from wire import channel, generate, request, services

STREAMS = 32


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


# Few blocks: even the demo's 32 streams want about 230 blocks of 16 tokens.
CONFIGURATIONS = [dict(prefill_chunk=1), dict(prefill_chunk=16), dict(prefill_chunk=512),
                  dict(prefill_chunk=16, kv_blocks=100, admit_headroom=0)]


def check(model, ranks, configurations):
    # A tiny model answers at once: only long answers overlap.
    requests = workload(250, least_tokens=180) if model == TINY_MODEL else workload(49000, least_tokens=24)
    reference = None
    for configuration in configurations:
        with System(model, tensor_parallel=ranks, max_sequences=STREAMS, **configuration) as system:
            [group] = system.groups()
            with channel(group) as connection:
                stub = services.InferenceStub(connection)
                if reference is None:
                    reference = solo(stub, group, requests)
                results = together(stub, group, requests)
            rank0 = group["rank_metrics"][0]
            assert metric(rank0, "quire_worker_batch_sequences_max") >= 16
            if "kv_blocks" in configuration:
                assert metric(rank0, "quire_worker_preemptions_total") > 0
            assert metric(rank0, "quire_worker_requests_running") == 0
        for i, (got, wanted) in enumerate(zip(results, reference)):
            assert got[0] == wanted[0], f"tokens of stream {i} with {configuration}"
            assert got[1] == wanted[1], f"logprobs of stream {i} with {configuration}"


@pytest.mark.tiny
@pytest.mark.parametrize("ranks", [1, 2])
def test_tiny(ranks):
    check(TINY_MODEL, ranks, CONFIGURATIONS)


def test_demo():
    check(DEMO_MODEL, 2, CONFIGURATIONS[2:])
