"""One digest over Generate, committed: ids and the bits of log-probabilities of a fixed workload, which every batch, chunk size,
preemption, prefix hit, number of ranks, processes and threads, and every instruction set gives; one of bf16, one of int8.

    .venv/bin/python tests/e2e/test_one_digest.py      writes it anew, where answers are meant to change
"""
import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import pytest

from by_hand import group_by_hand
from generated import DATA, generated_models, tiny_eight
from system import BIN, System, metric, until
from test_sameness import CROWD, Crowd, solo, together
from wire import channel, services

PATH = DATA / "tiny-eight-digests.json"
LENGTHS = [1, 2, 5, 15, 16, 17, 31, 40, 64, 90, 150, 230]  # around a block's 16 tokens, and several blocks
SAMPLING = [{"temperature": 0.0}, {}, {"top_k": 20, "top_p": 0.95}, {"repetition_penalty": 1.2, "min_p": 0.05},
            {"presence_penalty": 0.5, "frequency_penalty": 0.5, "temperature": 0.7}, {"top_p": 0.6, "temperature": 1.3}]


def workload():
    """(prompt, seed, tokens, sampling), by a formula that nothing outside this file decides."""
    requests = []
    for seed in range(2 * len(LENGTHS)):
        length = LENGTHS[seed % len(LENGTHS)]
        prompt = [int(byte) for byte in generated_models.hash_bytes(seed, 0, length)]
        requests.append((prompt, seed, 24 + 3 * seed % 17, SAMPLING[seed % len(SAMPLING)]))
    return requests


def digest(answers):
    """Of all, and the start of each answer's own, so that a difference says where it is."""
    each = [hashlib.sha256(struct.pack(f"<{len(ids)}i{len(ids)}f", *ids, *logprobs)).hexdigest() for ids, logprobs in answers]
    return {"all": hashlib.sha256("".join(each).encode()).hexdigest(), "each": [one[:8] for one in each]}


def family_of(numerics_id):
    """The name that promises equal bits: the kernels', or that of what int8 means."""
    weights, _, kernels = numerics_id.split("/")[1:4]
    return kernels if weights == "bf16" else weights.rsplit("-", 1)[0]


def recorded():
    return json.loads(PATH.read_text())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_eight(tmp_path_factory.mktemp("models"))


def check(answers, numerics_id):
    assert digest(answers) == recorded()[family_of(numerics_id)]


def serve(model, ranks=1, threads=1, **flags):
    flags = {"kv_blocks": 2048, "max_sequences": 64, **flags}
    return System(model, tensor_parallel=ranks, threads_per_rank=threads, **flags)


@pytest.mark.parametrize("ranks, threads, chunk, weights", [
    (1, 1, 512, "bf16"), (1, 2, 1, "bf16"), (1, 3, 7, "bf16"), (2, 1, 16, "bf16"), (2, 2, 512, "bf16"), (4, 1, 5, "bf16"),
    (8, 1, 33, "bf16"), (1, 3, 7, "int8"), (4, 1, 512, "int8")])
def test_alone_together_and_from_the_cache(model, ranks, threads, chunk, weights):
    with serve(model, ranks, threads, prefill_chunk=chunk, weights=weights) as system:
        [group] = system.groups()
        assert family_of(group["numerics_id"]).split("-")[0] == {"bf16": "cpu", "int8": "int8"}[weights]
        rank0 = group["rank_metrics"][0]
        with channel(group) as connection:
            stub = services.InferenceStub(connection)
            check(solo(stub, group, workload()), group["numerics_id"])
            assert metric(rank0, "quire_worker_batch_sequences_max") == 1
            with Crowd(stub, group):
                until(f"a batch of {CROWD}", lambda: metric(rank0, "quire_worker_batch_sequences_max") >= CROWD)
                check(together(stub, group, workload()), group["numerics_id"])
            hits = metric(rank0, "quire_worker_prefix_cache_hit_tokens_total")
            check(together(stub, group, workload()), group["numerics_id"])
            assert metric(rank0, "quire_worker_prefix_cache_hit_tokens_total") > hits


@pytest.mark.parametrize("ranks", [1, 4])
def test_preempted(model, ranks):
    with serve(model, ranks, kv_blocks=100, prefill_chunk=16, admit_headroom=0) as system:  # the crowd alone wants 400
        [group] = system.groups()
        rank0 = group["rank_metrics"][0]
        with channel(group) as connection:
            stub = services.InferenceStub(connection)
            with Crowd(stub, group):
                until("a preemption", lambda: metric(rank0, "quire_worker_preemptions_total") > 0)
                check(together(stub, group, workload()), group["numerics_id"])


def test_three_ranks_have_another(model):
    """The digest can tell: their sums have an order of their own."""
    with serve(model, ranks=3) as system:
        [group] = system.groups()
        with channel(group) as connection:
            answers = solo(services.InferenceStub(connection), group, workload())
        assert digest(answers) != recorded()[family_of(group["numerics_id"])]


# Of each family what the weights are kept as, the instruction set that every machine has, and the others.
FAMILIES = {"cpu-bf16-1": ("bf16", ["avx2", "avx512"]), "cpu-bf16-2": ("bf16", ["amx-twin", "amx"]),
            "int8-1": ("int8", ["avx2", "avx512"])}


@pytest.mark.parametrize("family", FAMILIES)
def test_instruction_sets(model, family):
    """Those of one family that this machine can use."""
    def usable(isa):
        return subprocess.run([BIN / "quire-worker", "--check", f"--isa={isa}", f"--model={model}"],
                              capture_output=True, timeout=300).returncode == 0
    weights, all_of_them = FAMILIES[family]
    isas = [all_of_them[0], *filter(usable, all_of_them[1:])]
    for isa in isas:
        with group_by_hand(model, 2, isa=isa, weights=weights, threads=2) as group, channel(group) as connection:
            stub = services.InferenceStub(connection)
            assert digest(solo(stub, group, workload())) == recorded()[family], isa
            assert digest(together(stub, group, workload())) == recorded()[family], isa
    if missing := set(all_of_them) - set(isas):
        pytest.skip(f"compared, but for {', '.join(missing)}: this machine can't use it")


def found(weights, isa):
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_eight(pathlib.Path(folder))
        with group_by_hand(model, 1, isa=isa, weights=weights) as group, channel(group) as connection:
            return digest(solo(services.InferenceStub(connection), group, workload()))


def main():
    PATH.write_text(json.dumps({family: found(weights, isas[0]) for family, (weights, isas) in FAMILIES.items()}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
