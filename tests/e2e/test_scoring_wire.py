"""A prompt's scores from a worker group by itself, as a gateway asks for them: the numbers of transformers, the same bits whatever
the chunks, the ranks, the cache and the top logprobs, from any position on, and those that generation reports."""
import json
import math
from array import array
from concurrent.futures import ThreadPoolExecutor

import pytest

from by_hand import group_by_hand
from generated import tiny_eight
from system import TINY_MODEL
from wire import Call, channel, pb, request, services

IDS = [1 + 11 * i % 240 for i in range(150)]


def scores(stub, group, ids, start=1, top=5, **options):
    """(log-probabilities from that position on, the likeliest in each place, the answer's tokens with theirs)."""
    message = request(group, ids, seed=1, **{"max_tokens": 1, "temperature": 0, **options})
    message.scoring.CopyFrom(pb.PromptScoring(**{"from": start, "top_logprobs": top}))
    found, tops, said, at = [], [], [], start
    for update in Call(stub, message):
        if update.HasField("scores"):
            assert not said and update.scores.first_position == at
            at += len(update.scores.logprobs)
            found += update.scores.logprobs
            tops += [dict(zip(t.ids, t.logprobs)) for t in update.scores.top_logprobs]
        said += zip(update.tokens.ids, update.tokens.logprobs)
    assert at == len(ids) and len(tops) == (len(found) if top else 0)
    return found, tops, said


def check(stub, group):
    """Cold, warm, beside others, from several positions, of several choices."""
    cold = scores(stub, group, IDS)
    assert len(cold[0]) == len(IDS) - 1 and all(p <= 0 for p in cold[0])
    assert scores(stub, group, IDS) == cold
    for start in (2, 17, 33, 100, len(IDS)):
        assert scores(stub, group, IDS, start) == (cold[0][start - 1:], cold[1][start - 1:], cold[2])
    assert scores(stub, group, IDS, top=0) == (cold[0], [], cold[2])
    assert scores(stub, group, IDS, choices=(0, 3))[:2] == cold[:2]
    # Of the model's own distribution, whatever the answer is sampled by.
    assert scores(stub, group, IDS, temperature=0.3, top_k=3, presence_penalty=1.5,
                  logit_bias=[pb.LogitBias(token_id=IDS[1], bias=50)])[:2] == cold[:2]
    with ThreadPoolExecutor(12) as pool:
        jobs = [pool.submit(scores, stub, group, IDS[:60 + 7 * i]) for i in range(12)]
        for i, job in enumerate(jobs):
            assert job.result()[0] == cold[0][:59 + 7 * i]
    return cold


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_eight(tmp_path_factory.mktemp("models"))


def test_the_same_bits_whatever_the_chunks_and_the_ranks(model):
    wanted = None
    for ranks, flags in ((1, {}), (2, {}), (1, {"prefill_chunk": 1}), (2, {"prefill_chunk": 16}),
                         (1, {"kv_blocks": 24, "admit_headroom": 0})):
        with group_by_hand(model, ranks, threads=1, **flags) as group, channel(group) as connection:
            got = check(services.InferenceStub(connection), group)
            wanted = wanted or got
            assert got == wanted, (ranks, flags)


def test_they_are_those_of_transformers_and_of_generation():
    recorded = json.loads((TINY_MODEL.parent / "tiny-qwen2.json").read_text())
    logits = array("f", (TINY_MODEL.parent / "tiny-qwen2.f32").read_bytes())
    ids, rows = recorded["prompt_ids"] + recorded["greedy_ids"], recorded["logit_rows"]
    width, compared = len(logits) // len(rows), 0
    with group_by_hand(TINY_MODEL, 2, threads=1) as group, channel(group) as connection:
        stub = services.InferenceStub(connection)
        found, tops, _ = scores(stub, group, ids, top=20)
        _, _, said = scores(stub, group, IDS, max_tokens=40)
        again = scores(stub, group, IDS + [i for i, _ in said])[0]
    assert again[-len(said):] == [logprob for _, logprob in said], "what it says of an answer, and of that answer as a prompt"
    for i, row in enumerate(rows):
        if row + 1 == len(ids):
            continue  # what follows is no prompt's
        wanted = logits[i * width:i * width + recorded["tokenizer_size"]]
        total = math.log(sum(math.exp(value) for value in wanted))
        for token, logprob in {**tops[row], ids[row + 1]: found[row]}.items():
            assert abs(logprob - (wanted[token] - total)) < 1.5 * recorded["bf16_max_error"], (row, token)
            compared += 1
    assert compared > 400
