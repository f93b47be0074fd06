"""Several choices of one request, top logprobs and grammars over the wire: a choice is what it would be alone."""
import contextlib
import json
import uuid

import grpc
import pytest

from system import TINY_MODEL, System, metric, until
from test_ranks import Rank
from wire import channel, generate_choices, pb, request, services

pytestmark = pytest.mark.tiny
PROMPTS = [[7] * 5, list(range(40)), [3, 1, 4] * 50]
SAMPLING = [{}, {"top_k": 20, "top_p": 0.95}, {"repetition_penalty": 1.2, "presence_penalty": 0.5, "frequency_penalty": 0.5}]


@contextlib.contextmanager
def serving(**flags):
    with System(TINY_MODEL, **flags) as system:
        [group] = system.groups()
        with channel(group) as connection:
            yield group, services.InferenceStub(connection)


@pytest.fixture(scope="module")
def tiny():
    with serving(tensor_parallel=1) as there:
        yield there


def said(answer):
    return answer.ids, answer.logprobs, answer.finished


# Few blocks: all four can't run at once, and are preempted.
@pytest.mark.parametrize("flags", [{"tensor_parallel": 1}, {"tensor_parallel": 2, "prefill_chunk": 16},
                                   {"tensor_parallel": 1, "kv_blocks": 24, "admit_headroom": 0, "max_batch_tokens": 64}])
def test_four_choices_are_four_requests(flags):
    with serving(**flags) as (group, stub):
        rank0 = group["rank_metrics"][0]
        for number, (prompt, sampling) in enumerate(zip(PROMPTS, SAMPLING)):
            def ask(indexes, number=number, prompt=prompt, sampling=sampling):
                return generate_choices(stub, request(group, prompt, seed=number, max_tokens=60, choices=indexes, **sampling))
            together = ask([0, 1, 2, 77])
            for index, answer in together.items():
                [alone] = ask([index]).values()
                assert said(answer) == said(alone), (number, index)
            assert together[0].ids != together[1].ids
        if "kv_blocks" in flags:
            assert metric(rank0, "quire_worker_preemptions_total") > 0
        until("an idle engine", lambda: metric(rank0, "quire_worker_kv_blocks_free")
              == metric(rank0, "quire_worker_kv_blocks_total"))


def test_the_prompt_is_read_once(tiny):
    group, stub = tiny
    rank0 = group["rank_metrics"][0]
    before = metric(rank0, "quire_worker_computed_tokens_total")
    generate_choices(stub, request(group, [9] * 100, seed=1, max_tokens=5, choices=range(4)))
    # The prompt once, and of each choice all tokens but the last.
    assert metric(rank0, "quire_worker_computed_tokens_total") - before == 100 + 4 * 4


def test_choices_are_resumed(tiny):
    group, stub = tiny

    def ask(choices):
        return generate_choices(stub, request(group, PROMPTS[1], seed=5, max_tokens=30, choices=choices))
    whole = ask([0, 1, 2, 3])
    kept = {0: 13, 1: 0, 2: 30}
    resumed = ask([*(pb.Choice(index=index, resumed_ids=whole[index].ids[:count]) for index, count in kept.items()),
                   pb.Choice(index=3, done=True)])
    for index, count in kept.items():
        assert resumed[index].ids == whole[index].ids[count:]
        assert resumed[index].logprobs == whole[index].logprobs[count:]
        assert resumed[index].finished == pb.FINISH_LENGTH
    assert not resumed[3].ids and resumed[3].finished == pb.FINISH_UNSPECIFIED


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_top_logprobs(tiny, temperature):
    group, stub = tiny
    message = request(group, PROMPTS[1], seed=3, max_tokens=40, temperature=temperature, logprobs=False, top_logprobs=20,
                      choices=[0, 1])
    for answer in generate_choices(stub, message).values():
        assert len(answer.logprobs) == len(answer.top) == len(answer.ids) == 40
        seen = 0
        for token, logprob, top in zip(answer.ids, answer.logprobs, answer.top):
            assert len(top) == len(dict(top)) == 20
            assert [value for _, value in top] == sorted((value for _, value in top), reverse=True)
            if temperature == 0:
                assert token == top[0][0]
            seen += token in dict(top)
            assert logprob == dict(top).get(token, logprob)  # one number, wherever it is said
            assert logprob <= top[0][1]
        assert seen > 0
    plain = generate_choices(stub, request(group, PROMPTS[1], seed=3, max_tokens=40, temperature=temperature, choices=[0, 1]))
    assert [plain[index].ids for index in (0, 1)] == [answer.ids for answer in generate_choices(stub, message).values()]


def refused(stub, message):
    """The message of its INVALID_ARGUMENT."""
    with pytest.raises(grpc.RpcError) as refusal:
        generate_choices(stub, message)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    return str(refusal.value)


def test_what_no_group_can_serve_is_refused(tiny):
    group, stub = tiny
    assert "its kind is unknown" in refused(stub, with_grammar(request(group, [1, 2, 3], seed=1), "5"))
    for choices in ([], [0, 0], [128], range(129)):
        assert "choices" in refused(stub, request(group, [1, 2, 3], seed=1, choices=choices))
    assert "top_logprobs" in refused(stub, request(group, [1, 2, 3], seed=1, top_logprobs=21))


def with_grammar(message, source):
    message.grammar.CopyFrom(pb.Grammar(kind="scripted", source=source))
    return message


@contextlib.contextmanager
def mock_group(folder, **flags):
    ready = folder / "ready"
    rank = Rank("quire-mock-group", f"quire-test-{uuid.uuid4().hex}", 0, 1, ready_file=ready, first_id=100, end_id=200, **flags)
    try:
        rank.until("group_ready")
        yield {"address": json.loads(ready.read_text())["grpc"], "epoch": 1}
    finally:
        rank.process.kill()
        rank.process.wait(60)


def test_grammars_of_a_group_that_has_an_engine_for_them(tmp_path):
    allowed = [[100 + i, 120 + i, 150 + i] for i in range(30)]
    source = ";".join(",".join(map(str, ids)) for ids in allowed)
    with mock_group(tmp_path, max_sequences=4) as group, channel(group) as connection:
        stub = services.InferenceStub(connection)

        def ask(choices, max_tokens=60):
            return generate_choices(stub, with_grammar(
                request(group, PROMPTS[1], seed=1, max_tokens=max_tokens, choices=choices), source))
        together = ask([0, 1, 2, 3])
        for index, answer in together.items():
            assert len(answer.ids) == 30 and answer.finished == pb.FINISH_STOP
            assert all(token in ids for token, ids in zip(answer.ids, allowed))
            assert said(answer) == said(ask([index])[index])
        assert together[0].ids != together[1].ids
        cut = ask([0], max_tokens=10)[0]
        assert cut.ids == together[0].ids[:10] and cut.finished == pb.FINISH_LENGTH
        resumed = ask([pb.Choice(index=2, resumed_ids=together[2].ids[:11])])[2]
        assert resumed.ids == together[2].ids[11:]
        assert "resumed_ids of choice 2" in refused(stub, with_grammar(
            request(group, [1], seed=1, choices=[pb.Choice(index=2, resumed_ids=[7])]), source))
        assert "lets nothing come after 1 tokens" in refused(stub, with_grammar(request(group, [1], seed=1), "5;;6"))
