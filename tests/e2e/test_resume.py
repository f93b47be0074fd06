"""A request that is resumed at any position goes on exactly as if nobody had disturbed it: ids, log-probabilities to the bit and
the end. That is what a failover rests on."""
import os

import pytest

from system import TINY_MODEL, System
from wire import Call, channel, pb, request, services

pytestmark = pytest.mark.tiny

PROMPT = [7, 21, 3, 99, 45, 7, 7, 120, 64, 33, 2, 18, 77, 5, 9, 140, 11, 21, 3]
LENGTH = 40  # two blocks and a half: cuts inside a block, at its end, and where the cache has all of it

CASES = {
    "greedy": {"temperature": 0},
    "seeded": {},
    "seeded_top_p_penalties": {"top_p": 0.9, "top_k": 50, "presence_penalty": 0.8, "frequency_penalty": 0.4,
                               "repetition_penalty": 1.3},
    "greedy_repetition": {"temperature": 0, "repetition_penalty": 1.2},
    "greedy_frequency": {"temperature": 0, "frequency_penalty": 1.5},
    "min_p_bias": {"min_p": 0.02, "logit_bias": [pb.LogitBias(token_id=21, bias=3.0)]},
    # Many ids end it, but not before position 25: the masking goes by the whole output, resumed ids counted.
    "min_tokens": {"ignore_eos": False, "stop_ids": list(range(0, 120)), "min_tokens": 25},
}


@pytest.fixture(scope="module")
def stub():
    with System(TINY_MODEL, tensor_parallel=2) as system:
        [group] = system.groups()
        with channel(group) as connection:
            yield group, services.InferenceStub(connection)


def run(stub, message, first):
    ids, logprobs, reason = [], [], None
    for reply in Call(stub, message, timeout=300):
        if reply.HasField("tokens"):
            assert reply.tokens.first_position == first + len(ids)
            ids += reply.tokens.ids
            logprobs += reply.tokens.logprobs
        if reply.HasField("finished"):
            reason = reply.finished.reason
    return ids, logprobs, reason


@pytest.mark.parametrize("case", CASES)
def test_resumed_at_every_position(stub, case):
    group, stub = stub

    def asked(resumed, salt):
        message = request(group, PROMPT, seed=11, max_tokens=LENGTH, **CASES[case])
        message.cache_salt = salt
        message.choices[0].resumed_ids.extend(resumed)
        return message
    ids, logprobs, reason = run(stub, asked([], b"account"), 0)
    assert len(ids) == LENGTH if case != "min_tokens" else 25 < len(ids)
    for position in range(len(ids) + 1):
        for salt in (b"account", os.urandom(8)):  # with what the cache has of it, and with nothing
            rest = run(stub, asked(ids[:position], salt), position)
            assert rest == (ids[position:], logprobs[position:], reason), position


def test_more_resumed_than_the_request_may_have_is_refused(stub):
    import grpc
    group, stub = stub
    message = request(group, PROMPT, seed=11, max_tokens=3)
    message.choices[0].resumed_ids.extend([1, 2, 3, 4])
    with pytest.raises(grpc.RpcError) as refused:
        run(stub, message, 0)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
