"""Groups of 1, 2, 4 and 8 processes answer alike, to the bit, where the model has eight leaves: and so a stream that loses its
group goes on exactly in one of another size."""
import json

import pytest

from by_hand import group_by_hand
from generated import tiny_eight
from system import System, metrics, until
from test_failover import Stage, all_serving
from test_sameness import solo, together
from test_sameness import workload as wire_workload
from wire import channel, services

RANKS = [1, 2, 4, 8]
CHATS = [{"temperature": 0}, {"seed": 3}, {"seed": 4, "top_p": 0.9, "top_k": 40},
         {"seed": 5, "presence_penalty": 0.6, "frequency_penalty": 0.4}, {"temperature": 0, "repetition_penalty": 1.2}]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_eight(tmp_path_factory.mktemp("models"))


def answers(system):
    """(what clients get over HTTP, ids and log-probabilities over Generate, the group's numerics_id)."""
    chats = []
    for number, fields in enumerate(CHATS):
        status, answer = system.chat(f"{number}: what is a quire?", max_tokens=60, ignore_eos=True, **fields)
        assert status == 200, answer
        chats.append((answer["choices"], answer["usage"]))
    [served] = system.groups()
    with channel(served) as connection:
        stub = services.InferenceStub(connection)
        requests = wire_workload(250, least_tokens=24)
        alone = solo(stub, served, requests[:8])
        assert together(stub, served, requests)[:8] == alone
    return chats, alone, served["numerics_id"]


def served_by(model, ranks, weights="bf16"):
    with System(model, tensor_parallel=ranks, threads_per_rank=1, kv_blocks=2048, weights=weights) as system:
        assert len(system.groups()[0]["rank_metrics"]) == ranks
        return answers(system)


@pytest.fixture(scope="module")
def one_rank(model):
    return served_by(model, 1)


@pytest.mark.parametrize("ranks", RANKS[1:])
def test_any_number_of_ranks_answers_as_one(model, one_rank, ranks):
    chats, generated, numerics = served_by(model, ranks)
    assert chats == one_rank[0]
    assert generated == one_rank[1]
    assert numerics == one_rank[2]


def test_int8_has_one_answer_too_and_says_that_it_is_another(model, one_rank):
    chats, generated, numerics = served_by(model, 1, "int8")
    assert numerics.split("/")[1] == "int8-1-g64.32.32" and one_rank[2].split("/")[1] == "bf16"
    assert generated != one_rank[1]
    for ranks in (2, 8):
        assert served_by(model, ranks, "int8") == (chats, generated, numerics), ranks


def test_three_ranks_have_an_order_of_their_own_and_say_so(model, one_rank):
    _, generated, numerics = served_by(model, 3)
    assert generated != one_rank[1], "the order of a sum matters here"
    assert numerics != one_rank[2]


class MixedStage(Stage):
    """Two groups of different size; what moves from one to the other must be exact."""

    def __init__(self, system):
        self.system = system
        until("both groups serve", lambda: len(system.groups()) == 2 and all_serving(system))
        assert len({served["numerics_id"] for served in system.groups()}) == 1
        self.rehearse(tokens=400)

    def migrations(self):
        found = metrics(self.system.gateway_metrics())
        assert found['quire_gateway_migrations_total{exact="false"}'] == 0
        return found['quire_gateway_migrations_total{exact="true"}']


def four_ranks(system, model, epoch):
    coordinator = json.loads((system.data / "run/coordinator").read_text())["grpc"]
    return group_by_hand(model, 4, coordinator=coordinator, worker_secret_file=system.data / "worker_secret",
                         group_id="by-hand", group_epoch=epoch, model_name=system.model, threads=1, kv_blocks=4096)


def test_a_stream_goes_on_exactly_in_a_group_of_another_size(model):
    with System(model, tensor_parallel=1, threads_per_rank=1, drain_seconds=0, kv_blocks=4096) as system:
        with four_ranks(system, model, epoch=1) as other:
            stage = MixedStage(system)
            stage.disturbed_until_it_migrates(20, stage.kill("g0", 0))  # from one process to four
            moved = stage.migrations()
            assert moved > 0
            stage.disturbed((20, other["ranks"][2].process.kill))  # and back
        epoch, frames = 1, 20
        while stage.migrations() == moved:  # as in disturbed_until_it_migrates; each group of four dies once
            epoch += 1
            with four_ranks(system, model, epoch) as other:
                frames = stage.earlier(frames)
                stage.disturbed((frames, other["ranks"][2].process.kill))
