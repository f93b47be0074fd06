"""A host's GPUs and the groups on them: which `quire serve` starts, what each has, what an operator is told. The GPUs are fibers."""
import json
import os
import signal
import subprocess

import pytest

from fiber_gpus import gpus_of, with_library
from generated import tiny_gpu
from stream import Outcome, Stream
from system import System, serve_once, until

SMALL = {"kv_blocks": 64, "max_batch_tokens": 64, "threads_per_rank": 1}


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Says which GPUs there are from now on, to who asks then."""
    file = tmp_path / "gpus"
    monkeypatch.setenv("QUIRE_TEST_GPU", f"@{file}")
    return file.write_text


def serving(system):
    return {group["id"]: group for group in system.groups() if group.get("state") == "serving"}


def story(system, frames=0, then=None):
    """The text of a stream, which is undisturbed until `then` is called, after so many frames of it."""
    def read():
        for i, payload in enumerate(Stream(system, "A long story", max_tokens=60, seed=5, ignore_eos=True)):
            if then and i == frames:
                then()
            yield payload
    outcome = Outcome(read())
    assert outcome.finish_reason == "length" and outcome.done == 1, outcome
    return outcome.text


def both_have_answered(system):
    """Who is second goes where nobody is."""
    streams = [Stream(system, f"{i} comes", max_tokens=60, seed=i, ignore_eos=True) for i in range(2)]
    assert all(Outcome(stream).finish_reason == "length" for stream in streams)
    return all(group["emitted_tokens"] > 0 for group in serving(system).values())


def test_groups_fill_the_gpus_and_each_keeps_its_own(tmp_path, programs, gpus):
    gpus("1024,1024,1024,1024,1024")
    with System(tiny_gpu(tmp_path), programs=with_library(programs), backend="auto", tensor_parallel=2, **SMALL) as system:
        assert system.has_said("starting 2 group(s) of 2 rank(s) (as asked, on 4 of 5 GPUs, fibers)")
        assert system.has_said("left over from 2 group(s) of 2 rank(s): number 4 (GPU-f1be-04)")
        own = {("g0", 0): "GPU-f1be-00", ("g0", 1): "GPU-f1be-01", ("g1", 0): "GPU-f1be-02", ("g1", 1): "GPU-f1be-03"}
        assert gpus_of(system) == {rank: [gpu] for rank, gpu in own.items()}
        until("an answer of each group", lambda: both_have_answered(system))
        calm, killed = story(system), []

        def kill_whose_it_is():
            before = system.groups()
            [victim] = [group for group in before if group["open_requests"] > 0]
            killed.extend([victim["id"], victim["epoch"], next(group for group in before if group is not victim)])
            os.kill(victim["process"]["pids"][1], signal.SIGKILL)

        assert story(system, 10, kill_whose_it_is) == calm  # the other group goes on with it
        name, epoch, other = killed
        until("its next life", lambda: name in serving(system) and serving(system)[name]["epoch"] > epoch)
        assert serving(system)[other["id"]]["epoch"] == other["epoch"]
        again = gpus_of(system)
        assert set(again) == set(own)
        for (group, rank), each in again.items():
            assert set(each) == {own[group, rank]} and (len(each) > 1) == (group == name), again


def test_a_group_whose_gpu_is_lost_takes_no_other_one(tmp_path, programs, gpus):
    """Of two, the first one: the second has its number then."""
    gpus("1024,1024")
    with System(tiny_gpu(tmp_path), programs=with_library(programs), backend="cuda", **SMALL) as system:
        assert set(serving(system)) == {"g0", "g1"}
        before = serving(system)
        gpus("lost,1024")
        os.kill(before["g0"]["process"]["pids"][0], signal.SIGKILL)
        system.wait_for_output('"GPU-f1be-00" is not among the GPUs that CUDA lists: is it lost')
        assert system.chat("Hello there", max_tokens=6)[0] == 200
        assert set(serving(system)) == {"g1"} and serving(system)["g1"]["epoch"] == before["g1"]["epoch"]
        gpus("1024,1024")
        until("the group on the GPU that is back", lambda: "g0" in serving(system))
        assert {rank: set(each) for rank, each in gpus_of(system).items()} == {("g0", 0): {"GPU-f1be-00"}, ("g1", 0): {"GPU-f1be-01"}}


def test_a_group_that_never_starts_keeps_no_other_from_its_clients(tmp_path, programs, gpus):
    """Somebody else has its GPU: it fails at once, long before the other group is loaded, and again and again."""
    gpus("full,1024")
    with System(tiny_gpu(tmp_path), programs=with_library(programs), backend="cuda", **SMALL) as system:
        assert system.has_said("group g0 is lost and restarts") and system.has_said("this group may use 0.01 GiB")
        assert system.has_said("1 of 2 groups serve")
        assert set(serving(system)) == {"g1"} and system.chat("Hello there", max_tokens=6)[0] == 200
        gpus("1024,1024")
        until("the group that could not start", lambda: "g0" in serving(system))


def test_groups_that_can_not_start_are_no_service(tmp_path, programs, gpus):
    gpus("full,full")
    ended = serve_once("--model", tiny_gpu(tmp_path), "--data", tmp_path / "data", "--port", "0", "--admin-port", "0", "--backend=cuda",
                       programs=with_library(programs))
    assert ended.returncode == 1 and "the workers can't start: " in ended.stderr and "were taken before (nvidia-smi says by whom)" in ended.stderr, ended


@pytest.mark.parametrize("visible,there,flags,groups,words", [
    (None, "1024,1024,1024", ["--host-groups=0"], "0,1,2", []),
    (None, "1024,1024,1024", ["--host-groups=0", "--gpus=2,GPU-f1be-00"], "2,0", []),
    (None, "1024,1024,1024", ["--ranks=2", "--host-groups=0"], "0,1", ["left over from 1 group(s) of 2 rank(s): number 2"]),
    (None, "1024,256,silent,1024", ["--ranks=2", "--host-groups=0"], "0,3", ["number 2 (GPU-f1be-02) can't be used: it does not answer",
                                                                            "number 1 (GPU-f1be-01) holds no rank of 2: "]),
    (None, "1024,2048,1024,2048", ["--ranks=2", "--host-groups=0"], "0,2,1,3", []),
    (None, "lost,1024,1024", ["--host-groups=1"], "1", ["left over from 1 group(s) of 1 rank(s): number 1 (GPU-f1be-02)"]),
    ("3,1", "1024,1024,1024,1024", ["--host-groups=0", "--gpus=1"], "3", []),
    ("GPU-f1be-02", "1024,1024,1024,1024", ["--host-groups=0"], "2", []),
])
def test_what_a_check_makes_of_the_gpus(tmp_path, programs, gpus, monkeypatch, visible, there, flags, groups, words):
    gpus(there)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    ranks = [] if any("--ranks" in flag for flag in flags) else ["--ranks=0"]
    command = [with_library(programs) / "quire-worker", "--check", "--model", tiny_gpu(tmp_path), "--backend=cuda", "--shm=check", *ranks, *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert said["backend"] == "cuda" and said["gpus"] == ",".join(f"GPU-f1be-{int(i):02}" for i in groups.split(",")), said
    assert int(said["groups"]) * int(said["ranks"]) == len(groups.split(","))
    assert len(said["notes"]) == len(words) and all(note.startswith(word) for note, word in zip(said["notes"], words)), said


@pytest.mark.parametrize("flags,code,why", [
    (["--gpus=0"], 2, "--gpus is for --backend cuda or auto"),
    (["--backend=cuda", "--gpus=4"], 1, '--gpus: "4" is none of the 4 GPUs that CUDA lists'),
    (["--backend=auto", "--gpus=GPU-77"], 1, '--gpus: "GPU-77" is not among the GPUs that CUDA lists'),
    (["--backend=cuda", "--gpus=1,1"], 1, 'is named twice'),
    (["--backend=cuda", "--groups=5"], 1, "5 groups of 1 rank(s) take 5 GPUs, and there are enough for 4: give --groups 4"),
    (["--backend=cuda", "--groups=none"], 2, "--groups: 'none' is neither auto nor a number"),
    (["--backend=cuda", "--kv-blocks=many"], 2, "--kv-blocks"),
    (["--backend=cuda", "--kv-blocks=1000000"], 1, "give --kv-blocks"),
])
def test_what_an_operator_gets_wrong(tmp_path, programs, gpus, flags, code, why):
    gpus("1024,1024,1024,1024")
    ended = serve_once("--model", tiny_gpu(tmp_path), "--data", tmp_path / "data", "--port", "0", "--admin-port", "0", *flags,
                       programs=with_library(programs))
    assert ended.returncode == code and why in ended.stderr, ended
    assert not (tmp_path / "data").exists()  # nothing was started


def test_a_plan_with_many_notes_is_taken(tmp_path, programs, gpus):
    """One for each GPU that is left out: the check's line is long."""
    gpus(",".join(["1024"] + ["256"] * 15))
    with System(tiny_gpu(tmp_path), programs=with_library(programs), backend="cuda", **SMALL) as system:
        assert system.has_said("starting 1 group(s) of 1 rank(s)")
        assert all(system.has_said(f"number {i} (GPU-f1be-{i:02}) holds no rank of 1: ") for i in range(1, 16))
        assert set(serving(system)) == {"g0"}


def test_groups_that_share_a_host_are_told_their_gpus(tmp_path, programs, gpus):
    """By hand: a worker that isn't would take the first ones, as the other group does."""
    gpus("1024,1024")
    ended = subprocess.run([with_library(programs) / "quire-worker", "--model", tiny_gpu(tmp_path), "--backend=cuda", "--host-groups=2",
                            "--insecure"], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1 and "give each its --gpus" in ended.stderr, ended
