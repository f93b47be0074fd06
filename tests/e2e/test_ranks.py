"""Ranks that hang, or were not started alike: every rank ends by itself, with a code that says so and a reason that
names the rank."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import uuid

import grpc
import pytest
from generated import tiny_long
from system import BIN, TINY_MODEL, http, metric, until
from wire import Call, begun, channel, request, services

pytestmark = pytest.mark.tiny
LOST = 70  # the exit code of a rank whose group is lost


class Rank:
    def __init__(self, program, shm, rank, ranks=2, **flags):
        options = {"model": TINY_MODEL, "shm": shm, "rank": rank, "ranks": ranks, "kv-blocks": 64, **flags}
        options = {name: value for name, value in options.items() if value != ""}  # as if it wasn't given
        self.process = subprocess.Popen([BIN / program, *(f"--{name.replace('_', '-')}={value}"
                                                          for name, value in options.items())],
                                        stderr=subprocess.PIPE, text=True)

    def until(self, event):
        """Reads the log up to an event's line, and returns that."""
        lines = []
        with self._patience():
            for line in self.process.stderr:
                lines.append(line)
                if f'"event":"{event}"' in line:
                    return json.loads(line)
        raise AssertionError(f"no {event}:\n" + "".join(lines))

    def end(self):
        """(exit code, the rest of its log)."""
        with self._patience():
            log = self.process.stderr.read()
        return self.process.wait(120), log

    @contextlib.contextmanager
    def _patience(self):
        """It is killed if what the body reads of it doesn't come."""
        patience = threading.Timer(300, self.process.kill)
        patience.start()
        try:
            yield
        finally:
            patience.cancel()


@pytest.fixture
def start():
    """start(program, rank, **flags): a rank of this test's group; what still runs is killed in the end."""
    shm, started = f"quire-test-{uuid.uuid4().hex}", []

    def begin(program, rank, **flags):
        started.append(Rank(program, shm, rank, **flags))
        return started[-1]
    yield begin
    for rank in started:
        rank.process.kill()
        rank.process.wait(60)
    assert not os.path.exists(f"/dev/shm/{shm}")


def until_all_serve(ranks):
    """None of them loads any more, which is when a signal means something else."""
    for rank in ranks:
        rank.until("follows" if rank is not ranks[0] else "group_ready")


@pytest.mark.parametrize("hanging", [0, 1])
def test_a_rank_that_hangs_in_a_step_ends_the_group(start, tmp_path, hanging):
    hang, ready = tmp_path / "hang", tmp_path / "ready"
    ranks = [start("quire-mock-group", rank, ready_file=ready, first_id=100, end_id=200,
                   **({"hang_file": hang} if rank == hanging else {})) for rank in (0, 1)]
    ranks[0].until("group_ready")
    group = {"address": json.loads(ready.read_text())["grpc"], "epoch": 1}
    with channel(group) as connection:
        stub = services.InferenceStub(connection)
        assert len(list(Call(stub, request(group, [1, 2, 3], seed=1, max_tokens=5), timeout=60))) > 0
        hang.touch()
        with pytest.raises(grpc.RpcError):
            list(Call(stub, request(group, [1, 2, 3], seed=2, max_tokens=5), timeout=120))
    for rank in ranks:
        code, log = rank.end()
        assert code == LOST
        assert f"rank {hanging} did not arrive, it is computing (step " in log


def cpus_of(pid):
    """On which CPUs a process's threads may run."""
    found = set()
    for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        with contextlib.suppress(OSError):  # the thread has ended
            found.add(re.search(r"^Cpus_allowed_list:\t(.*)$", status.read_text(), re.M)[1])
    return found


def test_every_thread_of_a_rank_runs_on_its_cpus(start):
    usable = sorted(os.sched_getaffinity(0))
    mine = [usable[0], usable[-1]]
    ranks = [start("quire-worker", rank, cpus=cpu, threads=2) for rank, cpu in enumerate(mine)]
    ranks[0].until("group_ready")
    for rank, cpu in zip(ranks, mine):
        assert cpus_of(rank.process.pid) == {str(cpu)}


@pytest.mark.parametrize("cpus, why", [
    ("x", "'x' is neither a CPU's number nor a range"), ("1-0", "the range 1-0 runs backwards"),
    ("8191", "there is no CPU 8191 for this process: it may use "), ("8192", "CPU 8192 is above 8191")])
def test_cpus_that_can_not_be_had(cpus, why):
    ended = subprocess.run([BIN / "quire-worker", "--check", "--model", TINY_MODEL, f"--cpus={cpus}"], capture_output=True,
                           text=True, timeout=300)
    assert ended.returncode == 1 and f"--cpus: {why}" in ended.stderr, ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("program", ["quire-worker", "quire-mock-group"])
def test_a_rank_that_waits_for_the_others_can_be_told_to_end(start, program, rank, number):
    waiting = start(program, rank)
    waiting.until("loading")
    waiting.process.send_signal(number)
    code, log = waiting.end()
    assert code == 0, log  # and the fixture finds nothing in /dev/shm


def test_a_rank_that_is_told_to_end_waits_for_a_rank_0_that_is_late(start):
    ranks = [start("quire-worker", rank, drain_seconds=0) for rank in (0, 1)]
    until_all_serve(ranks)
    ranks[0].process.send_signal(signal.SIGSTOP)
    ranks[1].process.send_signal(signal.SIGTERM)
    time.sleep(3)  # what is tested: as late as a step is long; a rank is silent after 10 s
    ranks[0].process.send_signal(signal.SIGCONT)
    for rank in ranks:
        code, log = rank.end()
        assert code == 0, log


@pytest.fixture
def free_ports():
    """Kept while the test runs: bound by sockets that don't listen, so that nobody but who names one gets it."""
    with contextlib.ExitStack() as kept:
        sockets = [kept.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind(("127.0.0.1", 0))
        yield [each.getsockname()[1] for each in sockets]


@pytest.mark.parametrize("told", [0, 1])
def test_no_rank_of_a_group_that_drains_says_that_it_serves(start, free_ports, told, tmp_path):
    flags = {"model": tiny_long(tmp_path, tokens=20000), "drain-seconds": 600, "kv-blocks": 8192}
    ranks = [start("quire-worker", rank, metrics_port=port, **flags) for rank, port in enumerate(free_ports)]
    group = {"address": f"127.0.0.1:{ranks[0].until('group_ready')['port']}", "epoch": 1}

    def ready(rank):
        return http("GET", f"http://127.0.0.1:{free_ports[rank]}/readyz")[0]
    until("two ranks that serve", lambda: [ready(0), ready(1)] == [200, 200])
    with channel(group) as connection:
        calls = begun(services.InferenceStub(connection), group, 4, max_tokens=20000)
        ranks[told].process.send_signal(signal.SIGTERM)
        until("two ranks that say so", lambda: [ready(0), ready(1)] == [503, 503])
        assert metric(f"127.0.0.1:{free_ports[0]}", "quire_worker_requests_running") > 0
        for call in calls:
            call.cancel()
    for rank in ranks:
        code, log = rank.end()
        assert code == 0, log


def test_a_rank_alone_takes_no_buffers_to_exchange_with_others(start):
    alone = start("quire-worker", 0, ranks=1)
    alone.until("group_ready")
    shared = [line.split()[0] for line in pathlib.Path(f"/proc/{alone.process.pid}/maps").read_text().splitlines()
              if "/dev/shm/quire-test" in line]
    assert shared
    assert sum(int(end, 16) - int(begin, 16) for begin, end in (part.split("-") for part in shared)) < 1 << 20


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("program", ["quire-worker", "quire-mock-group"])
def test_any_rank_of_a_group_that_serves_can_be_told_to_end(start, program, rank):
    ranks = [start(program, rank, **({"first_id": 100, "end_id": 200} if program == "quire-mock-group" else {}))
             for rank in (0, 1)]
    until_all_serve(ranks)
    ranks[rank].process.send_signal(signal.SIGTERM)
    for each in ranks:
        code, log = each.end()
        assert code == 0, log


def test_a_rank_whose_group_does_not_come_leaves_nothing(start):
    ranks = [start("quire-worker", rank, ranks=3) for rank in (0, 1)]
    for rank in ranks:
        rank.until("loading")
    for rank in ranks:
        rank.process.send_signal(signal.SIGTERM)
        assert rank.end()[0] in (0, LOST)


@pytest.mark.parametrize("least", [0, 1])
def test_the_rank_with_the_least_memory_decides_the_kv_blocks(start, least):
    ranks = [start("quire-worker", rank, max_sequences=1000, max_batch_tokens=1000,
                   **{"kv-blocks": 0, "host-groups": 256 if rank == least else 1}) for rank in (0, 1)]
    ranks[1 - least].until("kv_blocks")  # it takes fewer than its own memory allows
    if least == 1:
        ranks[0].until("group_ready")
    for rank in ranks:
        rank.process.send_signal(signal.SIGTERM)
    for rank in ranks:
        assert rank.end()[0] in (0, LOST)


def test_a_rank_computes_with_the_instructions_that_it_was_told_to_or_not_at_all(start):
    alone = start("quire-worker", 0, ranks=1)
    assert alone.until("cpu_kernels")["family"] in ("cpu-bf16-1", "cpu-bf16-2")
    alone.process.send_signal(signal.SIGTERM)
    alone.end()
    if "amx_bf16" in pathlib.Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU says that it has AMX: whether it can be used, kernels/cpu's tests try")
    code, log = start("quire-worker", 0, ranks=1, isa="amx").end()
    assert code == 1 and re.search("this CPU has no (AMX|AVX-512) with BF16; use auto", log), log


def test_ranks_whose_kernels_give_other_bits_say_so_before_they_load(start):
    ranks = [start("quire-worker", rank, isa=isa) for rank, isa in enumerate(["avx2", "amx-twin"])]
    for rank in ranks:
        code, log = rank.end()
        assert code != 0 and "rank 1 has kernels cpu-bf16-2, rank 0 has kernels cpu-bf16-1" in log, log
        assert "--isa" in log and "weights" not in re.findall(r'"event":"loading".*', log)[-1], log


def test_only_a_check_chooses_the_number_of_ranks(start):
    code, log = start("quire-worker", 0, ranks=0).end()
    assert code == 1 and "--rank 0 is not below --ranks 0" in log


@pytest.mark.parametrize("flag, first, second", [
    ("max-sequences", 64, 32), ("max-batch-tokens", 512, 256), ("kv-blocks", 64, 65), ("rope-scaling", "", "yarn:4:64"),
    ("weights", "bf16", "int8"), ("group-epoch", 1, 2)])
def test_ranks_that_differ_do_not_start(start, flag, first, second):
    ranks = [start("quire-worker", rank, **{flag: value}) for rank, value in enumerate((first, second))]
    for rank in ranks:
        code, log = rank.end()
        assert code != 0
        assert f"rank 1 has --{flag} {second}, rank 0 has --{flag} {first}" in log


def copy_of_the_model(folder):
    folder.mkdir()
    for file in TINY_MODEL.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_ranks_with_different_weights_do_not_start(start, tmp_path):
    other = copy_of_the_model(tmp_path / "model")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    for rank in [start("quire-worker", 0), start("quire-worker", 1, model=other)]:
        code, log = rank.end()
        assert code != 0
        assert "rank 1 has weights " in log


def test_ranks_that_would_sample_from_different_ids_do_not_start(start, tmp_path):
    other = copy_of_the_model(tmp_path / "model")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][-1], "id": 303, "content": "<one more>"})
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    for rank in [start("quire-worker", 0), start("quire-worker", 1, model=other)]:
        code, log = rank.end()
        assert code != 0
        assert "rank 1 has token ids 304" in log


def test_ranks_of_different_builds_do_not_start(start, tmp_path):
    program = (BIN / "quire-worker").read_bytes()
    version = subprocess.run([BIN / "quire-worker", "--version"], capture_output=True, text=True,
                             check=True, timeout=300).stdout.split(" ", 1)[1].strip()
    changed = version[:-1] + "#"
    other = tmp_path / "quire-worker"
    other.write_bytes(program.replace(version.encode() + b"\0", changed.encode() + b"\0"))
    other.chmod(0o755)
    for rank in [start("quire-worker", 0), start(other, 1)]:
        code, log = rank.end()
        assert code != 0
        assert f"rank 1 has program {changed}, rank 0 has program {version}" in log
