"""An echo with logprobs, as the unmodified openai SDK and lm-eval ask for it: the same numbers whatever the chunks of a prompt, the
number of ranks and the cache, streamed as whole, and those that the answer itself has where its tokens are a prompt; one bill."""
import math
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from generated import tiny_eight, tiny_long
from system import System, metric, until

TEXT = "The naïve quire — 紙 — of sheets 🎈 folded to be read as one: many ranks, one model; many machines, one API. " * 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_eight(tmp_path_factory.mktemp("models"))


def score(system, prompt, **options):
    options = {"max_tokens": 0, "echo": True, "logprobs": 5, "temperature": 0, **options}
    return system.openai().completions.create(model=system.model, prompt=prompt, **options)


def lists(choice):
    found = choice.logprobs
    return found.tokens, found.token_logprobs, found.top_logprobs, found.text_offset


def scored(system, prompt, **options):
    answer = score(system, prompt, **options)
    return [(choice.text, lists(choice)) for choice in answer.choices]


def prompts_of(system):
    """Texts, and one of ids that are no text's."""
    return [TEXT, "a", [1 + 7 * i % 240 for i in range(150)]]


def everything(system):
    """Cold, warm (a plain request has filled the cache), beside others, and of several choices."""
    cold = [scored(system, prompt) for prompt in prompts_of(system)]
    for prompt in prompts_of(system):
        for echo in (False, True):
            system.openai().completions.create(model=system.model, prompt=prompt, max_tokens=2, echo=echo)
    assert [scored(system, prompt) for prompt in prompts_of(system)] == cold
    with ThreadPoolExecutor(12) as pool:
        jobs = [pool.submit(scored, system, prompt) for prompt in prompts_of(system) * 4]
        assert [job.result() for job in jobs] == cold * 4
    assert scored(system, TEXT, n=2) == cold[0] * 2
    return cold


def test_numbers_do_not_hang_on_chunks_ranks_or_the_cache(model):
    wanted = None
    for ranks, chunk in ((1, 512), (1, 1), (1, 16), (2, 512)):
        with System(model, tensor_parallel=ranks, threads_per_rank=1, kv_blocks=1024, prefill_chunk=chunk) as system:
            got = everything(system)
            wanted = wanted or got
            assert got == wanted, (ranks, chunk)
            [group] = system.groups()
            rank0 = group["rank_metrics"][0]
            assert metric(rank0, "quire_worker_integrity_errors_total") == 0
            assert metric(rank0, "quire_worker_scored_tokens_total") > 0


def test_offsets_point_into_the_text_and_probabilities_are_some(system):
    [(text, (tokens, logprobs, tops, offsets))] = scored(system, TEXT)
    assert text == TEXT and logprobs[0] is None and tops[0] is None and offsets[0] == 0
    assert len(tokens) == len(logprobs) == len(tops) == len(offsets)
    assert all(p <= 0 for p in logprobs[1:])
    for token, logprob, top in list(zip(tokens, logprobs, tops))[1:]:
        assert top[token] == logprob and 5 <= len(top) <= 6
        assert sum(math.exp(p) for p in top.values()) < 1.0001
        assert max(top.values()) >= logprob
    for token, offset, end in zip(tokens, offsets, [*offsets[1:], len(text)]):
        if not token.startswith("bytes:"):
            assert text[offset:offset + len(token)] == token
        assert offset <= end


def test_scores_are_those_that_generation_reports(system):
    """What a greedy answer says of its tokens is what scoring that text says, token by token: the one way checks the other."""
    if "smollm2" not in system.model:
        pytest.skip("its answers have special tokens, which have no text and so no entry (test_scoring_wire.py has theirs)")
    start = [5, 17, 23, 42]
    ids = {"extra_body": {"return_tokens_as_token_ids": True, "ignore_eos": True, "repetition_penalty": 1}}
    answer = score(system, start, max_tokens=40, echo=False, **ids).choices[0]
    tokens, logprobs, tops, _ = lists(answer)
    said = [int(token.removeprefix("token_id:")) for token in tokens]
    assert len(said) == 40
    [(_, again)] = scored(system, start + said, **ids)
    assert again[0][4:] == tokens
    assert again[1][4:] == logprobs
    assert again[2][4:] == tops
    # One token with the prompt before it, as lm-eval asks.
    one = score(system, start + said[:-1], max_tokens=1, **ids)
    assert lists(one.choices[0])[1] == again[1] and lists(one.choices[0])[0] == again[0]
    assert one.usage.completion_tokens == 1


def test_streamed_is_whole(system):
    for options in ({}, {"n": 2}, {"max_tokens": 5, "extra_body": {"ignore_eos": True}}, {"logprobs": 0}):
        whole = score(system, [TEXT, "Once upon"], **options)
        texts, found, finishes = {}, {}, {}
        for chunk in score(system, [TEXT, "Once upon"], stream=True, **options):
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + choice.text
                finishes[choice.index] = choice.finish_reason or finishes.get(choice.index)
                if choice.logprobs:
                    for index, values in enumerate(lists(choice)):
                        found.setdefault(choice.index, [[], [], [], []])[index].extend(values or [])
        for choice in whole.choices:
            assert texts[choice.index] == choice.text and finishes[choice.index] == choice.finish_reason
            assert found[choice.index] == [list(values or []) for values in lists(choice)]


def test_a_score_alone_is_one_entry_of_the_prompt(system):
    def totals():
        system.wait_for_settles()
        rows = system.usage()
        return {name: sum(row[name] for row in rows) for name in ("requests", "prompt_tokens", "cached_tokens",
                                                                 "completion_tokens", "cost_nano_usd")}

    system.openai().completions.create(model=system.model, prompt=TEXT, max_tokens=1)  # its blocks are there now
    before = totals()
    answer = score(system, TEXT)
    usage, after = answer.usage, totals()
    assert answer.choices[0].finish_reason == "length" and answer.choices[0].text == TEXT
    assert usage.completion_tokens == 0 and usage.total_tokens == usage.prompt_tokens == len(lists(answer.choices[0])[0])
    assert usage.prompt_tokens_details.cached_tokens == 0
    assert {name: after[name] - before[name] for name in after} == {
        "requests": 1, "prompt_tokens": usage.prompt_tokens, "cached_tokens": 0, "completion_tokens": 0,
        "cost_nano_usd": usage.prompt_tokens * 75}
    status, audit = system.admin("GET", "audit")
    assert status == 200 and not audit["findings"], audit


def test_what_is_refused(system):
    for options, param in (({"echo": False}, "max_tokens"), ({"logprobs": 6}, "logprobs"), ({"max_tokens": -1}, "max_tokens")):
        with pytest.raises(openai.UnprocessableEntityError) as error:
            score(system, "a", **options)
        assert error.value.body["param"] == param


def test_a_group_that_dies_in_the_midst_of_it(tmp_path):
    """Scoring by single rows of a long prompt takes many steps; the other group goes on with the next token."""
    model = tiny_long(tmp_path, 7000)
    prompt = [1 + 11 * i % 240 for i in range(6000)]
    with System(model, groups=2, threads_per_rank=1, kv_blocks=2048, prefill_chunk=1) as system:
        rank0s = {group["id"]: group for group in system.groups()}
        assert len(rank0s) == 2

        def so_far(group):
            return metric(rank0s[group]["rank_metrics"][0], "quire_worker_scored_tokens_total")

        calm = scored(system, prompt, logprobs=2)
        before = {group: so_far(group) for group in rank0s}
        assert sum(before.values()) == len(prompt) - 1
        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(score, system, prompt, logprobs=2)
            begun = []
            until("scores", lambda: begun.extend(g for g in rank0s if so_far(g) > before[g] + 500) or begun)
            assert not job.done(), "it was too quick to be disturbed"
            os.kill(rank0s[begun[0]]["process"]["pids"][0], signal.SIGKILL)
            answer = job.result()
        assert [(choice.text, lists(choice)) for choice in answer.choices] == calm
        assert answer.usage.prompt_tokens == len(prompt) and answer.usage.completion_tokens == 0
        [other] = set(rank0s) - {begun[0]}
        assert 0 < so_far(other) - before[other] < len(prompt) - 500, "what was scored is scored again"
        assert metric(system.gateway_metrics(), "quire_gateway_migrations_total") == 1
