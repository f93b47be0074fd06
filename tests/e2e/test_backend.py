"""--backend: how a worker finds a GPU's library, and serves by it. The library here is the CUDA backend with its kernels on
fibers (kernels/cuda/backend/testing/fiber_plugin.cc): the worker and the engine can't tell."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from fiber_gpus import device_of, with_library
from generated import tiny_gpu
from stream import Outcome, Stream
from system import BIN, TINY_MODEL, System, metric, serve_once


def steps_ahead(system):
    return metric(system.groups()[0]["rank_metrics"][0], "quire_worker_steps_ahead_total")


def refused(tmp_path, programs, *flags, model=TINY_MODEL):
    ended = serve_once("--model", model, "--data", tmp_path / "data", "--port", "0", "--admin-port", "0", *flags,
                       programs=programs)
    assert ended.returncode == 1, ended.stderr
    return ended.stderr


def test_a_chat_is_answered_by_the_cuda_backend(tmp_path, programs):
    model = tiny_gpu(tmp_path)
    answers = []
    for backend in ("auto", "cpu"):
        with System(model, programs=with_library(programs), backend=backend, groups=1, kv_blocks=64,
                    max_batch_tokens=64) as system:
            found = device_of(system)
            assert (found["name"], found["reason"]) == (("cuda", "fibers, number 0 of 8, GPU-f1be-00") if backend == "auto" else
                                                        ("cpu", "asked for"))
            numerics = system.groups()[0]["numerics_id"]
            assert ("cuda-bf16-1" in numerics) == (backend == "auto"), numerics
            status, answer = system.chat("Hello there", max_tokens=6, temperature=0, ignore_eos=True)
            assert status == 200 and answer["usage"]["completion_tokens"] == 6, answer
            assert steps_ahead(system) == (5 if backend == "auto" else 0)  # each that a token begins
            status, seeded = system.chat("Hello there", max_tokens=6, seed=7, top_p=0.9, ignore_eos=True)
            assert status == 200, seeded
            status, adjusted = system.chat("Hello there", max_tokens=6, temperature=0, ignore_eos=True, frequency_penalty=1.5,
                                           logit_bias={"100": 60})
            assert status == 200, adjusted
            answers.append([ended["choices"][0]["message"]["content"] for ended in (answer, adjusted)])
    assert answers[0] == answers[1] and answers[0][0] != answers[0][1]  # their margins are wider than what bf16 rounds


def logged(data, event):
    """Lines of rank 0's, of all its starts."""
    return [json.loads(line) for path in sorted(data.glob("logs/*-rank0.log")) for line in path.read_text().splitlines()
            if f'"event":"{event}"' in line]


def test_matmuls_are_chosen_at_the_first_start_alone(tmp_path, programs):
    """In the data folder, of which a worker is told; what is wrong there costs the choosing, and is said."""
    model, data = tiny_gpu(tmp_path), tmp_path / "data"
    with_library(programs)

    def answer_of_a_start():
        with System(model, programs=programs, data=data, backend="cuda", groups=1, tensor_parallel=1, kv_blocks=64,
                    max_batch_tokens=64) as system:
            status, answer = system.chat("Hello there " * 20, max_tokens=4, temperature=0, ignore_eos=True)
            assert status == 200, answer
            return answer["choices"][0]["message"]["content"]

    answers = [answer_of_a_start()]
    [first] = logged(data, "matmuls_chosen")
    assert first["timed"] > 0
    [progress] = [line["what"] for line in logged(data, "loading") if line["what"].startswith("choosing matmuls: 0 of ")]
    assert progress == f"choosing matmuls: 0 of {first['timed']}"
    [kept] = (data / "matmuls").glob("*.matmuls")
    answers.append(answer_of_a_start())
    assert logged(data, "matmuls_chosen")[1]["timed"] == 0
    kept.write_text(kept.read_text()[:-40])
    answers.append(answer_of_a_start())
    assert logged(data, "matmuls_chosen")[2]["timed"] == first["timed"]
    assert "it is cut off or was changed" in logged(data, "matmul_cache_ignored")[0]["reason"]
    kept.unlink()
    kept.mkdir()  # no file can be written there
    answers.append(answer_of_a_start())
    assert logged(data, "matmul_cache_not_written")[0]["file"] == str(kept)
    assert len(set(answers)) == 1, answers


def test_ranks_meet_in_their_gpus_memory(tmp_path, programs, monkeypatch):
    model = tiny_gpu(tmp_path)
    with_library(programs)
    answers, streams = [], []
    for ranks, told, through in ((1, "8", None), (2, "8", "the GPUs' memory"), (2, "apart", "the host's memory, slower")):
        monkeypatch.setenv("QUIRE_TEST_GPU", told)
        with System(model, programs=programs, backend="cuda", groups=1, tensor_parallel=ranks, kv_blocks=64,
                    max_batch_tokens=64) as system:
            status, answer = system.chat("Hello there", max_tokens=6, seed=3, ignore_eos=True)
            assert status == 200, answer
            answers.append((system.groups()[0]["numerics_id"], answer["choices"][0]["message"]["content"]))
            assert steps_ahead(system) == (0 if told == "apart" else 5)  # whose ranks' hosts wait for one another
            logs = [path.read_text() for path in system.data.glob("logs/*-rank*.log")]
            assert len(logs) == ranks and "number 1 of 8" in "".join(logs) or ranks == 1, logs
            assert through is None or all(f'"through":"{through}"' in log for log in logs), logs
            streams.append(story_with_a_rank_less(system) if ranks > 1 else story(system))
    assert answers[0] == answers[1] == answers[2]
    assert streams[0] == streams[1] == streams[2]


def story(system, frames=None, then=None):
    """The text of a stream, whose ranks compute when `then` is called, after so many frames of it."""
    outcome = Outcome(read_and_disturb(Stream(system, "A long story", max_tokens=120, seed=5, ignore_eos=True), frames, then))
    assert outcome.finish_reason == "length" and outcome.done == 1, outcome
    return outcome.text


def story_with_a_rank_less(system):
    """The other rank, which waits for it on its device, ends, too; the stream goes on in the next epoch of the group."""
    [before] = system.groups()
    text = story(system, 10, lambda: os.kill(before["process"]["pids"][1], signal.SIGKILL))
    assert system.groups()[0]["epoch"] > before["epoch"]
    return text


def read_and_disturb(stream, frames, then):
    for i, payload in enumerate(stream):
        if i == frames:
            then()
        yield payload


def test_without_a_library_auto_is_the_cpu_and_cuda_is_refused(tmp_path, programs):
    with System(TINY_MODEL, programs=programs, tensor_parallel=1, backend="auto") as system:
        assert device_of(system)["name"] == "cpu"
        assert system.has_said("on the CPU: there is no") and system.has_said("libquire-cuda.so, which is built where nvcc is")
    said = refused(tmp_path, programs, "--backend=cuda", "--tensor-parallel=1")
    assert "--backend cuda: there is no" in said and "scripts/setup --cuda" in said, said


def test_with_too_few_devices_auto_is_the_cpu(tmp_path, programs, monkeypatch):
    monkeypatch.setenv("QUIRE_TEST_GPU", "1")
    with System(tiny_gpu(tmp_path), programs=with_library(programs), tensor_parallel=2, backend="auto") as system:
        assert system.has_said("on the CPU: a group of 2 ranks on this host takes as many GPUs, and there are 1")


def test_without_a_device_auto_is_the_cpu_and_cuda_is_refused(tmp_path, programs, monkeypatch):
    monkeypatch.setenv("QUIRE_TEST_GPU", "none")
    model = tiny_gpu(tmp_path)
    with System(model, programs=with_library(programs), tensor_parallel=1, backend="auto") as system:
        assert device_of(system)["name"] == "cpu" and system.has_said("on the CPU: no NVIDIA GPU is here")
    said = refused(tmp_path, programs, "--backend=cuda", "--tensor-parallel=1", model=model)
    assert "--backend cuda: no NVIDIA GPU is here" in said, said


@pytest.mark.skipif(not (BIN / "libquire-cuda.so").exists(), reason="CUDA is not built")
@pytest.mark.skipif(pathlib.Path("/dev/nvidiactl").exists(), reason="an NVIDIA driver is here")
def test_the_library_of_gpus_says_that_no_driver_is_here(tmp_path, programs):
    model = tiny_gpu(tmp_path)
    with System(model, programs=with_library(programs, BIN / "libquire-cuda.so"), tensor_parallel=1, backend="auto") as system:
        assert device_of(system)["name"] == "cpu" and system.has_said("on the CPU: no NVIDIA driver is loaded")
    assert "--backend cuda: no NVIDIA driver is loaded" in refused(tmp_path, programs, "--backend=cuda", "--tensor-parallel=1", model=model)


@pytest.mark.parametrize("backend", ["auto", "cuda"])
def test_a_library_that_does_not_fit_is_named(tmp_path, programs, backend):
    flags = (f"--backend={backend}", "--tensor-parallel=1")
    (programs / "libquire-cuda.so").write_text("no library")
    said = refused(tmp_path, programs, *flags)
    assert "can't load" in said and "libquire-cuda.so" in said, said
    source = tmp_path / "other.c"
    source.write_text("int other;")
    subprocess.run(["cc", "-shared", "-o", programs / "libquire-cuda.so", source], check=True)
    assert "is no backend of Quire" in refused(tmp_path, programs, *flags)
    source.write_text('static const char* plugin[3] = {"0123456789abcdef"}; void* QuireBackendPlugin(void) { return plugin; }')
    subprocess.run(["cc", "-shared", "-o", programs / "libquire-cuda.so", source], check=True)
    assert "is of the build 0123456789abcdef" in refused(tmp_path, programs, *flags)


def test_what_a_gpu_can_not_serve_yet(tmp_path, programs):
    with_library(programs)
    said = refused(tmp_path, programs, "--backend=cuda", "--tensor-parallel=9", model=tiny_gpu(tmp_path))
    assert "a group of 9 ranks on this host takes as many GPUs, and there are 8: give --tensor-parallel 8" in said, said
    said = refused(tmp_path, programs, "--backend=cuda", "--tensor-parallel=1", "--weights=int8")
    assert "--backend cuda: a GPU serves bf16 alone so far: leave out --weights int8" in said, said
    for model, flags in ((tmp_path / "tiny-gpu", {"weights": "int8"}), (TINY_MODEL, {})):
        with System(model, programs=programs, backend="auto", tensor_parallel=1, **flags) as system:
            assert device_of(system)["name"] == "cpu"
    said = refused(tmp_path, programs, "--backend=cuda", "--tensor-parallel=1")  # heads of 16
    assert "--backend cuda: attention on a GPU has heads of 64 or 128, not of 16" in said, said


def test_a_gpu_that_others_fill_is_refused_when_it_is_loaded(tmp_path, programs, monkeypatch):
    """Its check counts what the groups of before still hold, which it may be about to take over."""
    monkeypatch.setenv("QUIRE_TEST_GPU", "full")
    with_library(programs)
    model = tiny_gpu(tmp_path)
    check = [programs / "quire-worker", "--check", "--model", model, "--backend=cuda"]
    assert subprocess.run(check, capture_output=True, timeout=300).returncode == 0
    ended = subprocess.run([programs / "quire-worker", "--model", model, "--backend=cuda", "--insecure"], capture_output=True,
                           text=True, timeout=300)
    assert ended.returncode != 0 and "this group may use 0.01 GiB" in ended.stderr + ended.stdout, ended
