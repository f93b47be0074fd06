"""What the programs say to somebody who asks or got something wrong, and how `quire serve` ends."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess

import pytest

from system import BIN, ROOT, TINY_MODEL, System, http, serve_once, until
from test_ledger_faults import may_mount
from test_shutdown import start_time

pytestmark = pytest.mark.tiny


@pytest.mark.parametrize("program", sorted(path.name for path in BIN.glob("quire*") if path.name != "quire-test-child"))
def test_version(program):
    [declared] = re.findall(r"^project\(quire .*VERSION ([0-9.]+)\)", (ROOT / "CMakeLists.txt").read_text(), re.M)
    said = subprocess.run([BIN / program, "--version"], capture_output=True, text=True, check=True, timeout=300).stdout
    assert re.fullmatch(rf"{program} {re.escape(declared)}( \(\S+\))?\n", said), said


def wait_until_it_answers(system):
    def back():
        try:
            return http("GET", f"{system.url}/v1/models", system.api_key)[0] == 200
        except OSError:
            return False
    until("the gateway back on its port", back)


def log_events(system, program, event):
    lines = map(json.loads, (system.data / f"logs/{program}.log").read_text().splitlines())
    return [line for line in lines if line["event"] == event]


def test_wrong_flag():
    ended = serve_once("--modle", "x")
    assert ended.returncode == 2 and "did you mean --model" in ended.stderr


@pytest.mark.parametrize("program", ["quire-coordinator", "quire-gateway", "quire-worker", "quire serve"])
def test_a_log_level_that_is_none(program):
    name, *command = program.split()
    ended = subprocess.run([BIN / name, *command, "--log-level", "bogus"], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2 and "--log-level: 'bogus' is none of debug, info, warn, error" in ended.stderr, ended.stderr


def run_gateway(*flags):
    return subprocess.run([BIN / "quire-gateway", *flags], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("flags, missing", [((), "--coordinator"), (("--coordinator", "127.0.0.1:1"), "--pepper-file")])
def test_a_gateway_without_a_flag_that_it_needs(flags, missing):
    ended = run_gateway(*flags)
    assert ended.returncode == 2 and f"{missing} is missing" in ended.stderr, ended.stderr


def test_a_worker_shows_its_secret_to_no_other_host_in_the_clear(tmp_path):
    (tmp_path / "worker_secret").write_text("5a" * 32)
    ended = subprocess.run([BIN / "quire-worker", "--model", TINY_MODEL, "--coordinator=192.0.2.1:7000",
                            f"--worker-secret-file={tmp_path}/worker_secret"], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1, ended.stderr
    assert "the coordinator at 192.0.2.1:7000 without mTLS" in ended.stderr and "weights_loaded" not in ended.stderr, ended.stderr


@pytest.mark.parametrize("flag, named", [("--host=", "--host is empty"), ("--metrics-host=", "--metrics-host is empty"),
                                         ("--cors-origin=", "--cors-origin is empty"), ("--cors-origin=x", "--cors-origin: 'x'"),
                                         ("--help=x", "--help takes no value"), ("--tls-cert=a", "--tls-cert")])
def test_a_gateway_whose_command_line_is_wrong(flag, named):
    ended = run_gateway("--coordinator", "127.0.0.1:1", "--pepper-file", "x", flag)
    assert ended.returncode == 2 and named in ended.stderr, ended.stderr


def test_a_pepper_that_cant_be_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    ended = run_gateway("--coordinator", "127.0.0.1:1", "--pepper-file", tmp_path / "fifo")
    assert ended.returncode == 1 and "no plain file" in ended.stderr, ended.stderr
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "none", "no file")):
        ended = run_gateway("--coordinator", "127.0.0.1:1", "--pepper-file", path)
        assert ended.returncode == 1 and why in ended.stderr, ended.stderr
        assert str(path) in ended.stderr and "give --pepper-file the path of pepper in the coordinator's data folder" in ended.stderr, ended.stderr


@pytest.mark.parametrize("flag", ["--model", "--data", "--ready-file", "--tensor-parallel", "--cors-origin", "--max-queue"])
def test_a_flag_of_an_empty_word(flag):
    """A script's variable that isn't set: nobody guesses what it stood for."""
    ended = serve_once("--model", TINY_MODEL, f"{flag}=")
    assert ended.returncode == 2 and f"{flag} is empty" in ended.stderr, ended.stderr


@pytest.mark.parametrize("host", ["a" * 64, "192.0.2.1"])  # no name has so long a label: nobody is asked
def test_a_host_that_is_not_this_machine(tmp_path, host):
    ended = serve_once("--model", TINY_MODEL, "--data", tmp_path / "data", "--port", "0", "--admin-port", "0", "--host", host)
    assert ended.returncode == 1 and host in ended.stderr and "address of this machine" in ended.stderr, ended.stderr


@pytest.mark.parametrize("program, flags, host", [("gateway", (), "--host"), ("gateway", (), "--metrics-host"),
                                                  ("coordinator", ("--groups", "0", "--insecure"), "--host"),
                                                  ("coordinator", ("--groups", "0", "--insecure"), "--admin-host"),
                                                  ("coordinator", ("--groups", "0", "--insecure"), "--metrics-host")])
def test_a_host_of_one_program_that_is_not_this_machine(tmp_path, program, flags, host):
    (tmp_path / "pepper").write_text("0" * 64)
    needed = {"gateway": ("--coordinator", "127.0.0.1:1", "--pepper-file", tmp_path / "pepper"),
              "coordinator": ("--data", tmp_path / "data")}[program]
    ended = subprocess.run([BIN / f"quire-{program}", *needed, *flags, "--port", "0", host, "192.0.2.1"], capture_output=True,
                           text=True, timeout=300)
    assert ended.returncode == 1 and "192.0.2.1" in ended.stderr and "0.0.0.0 for all" in ended.stderr, ended.stderr


def test_missing_model(tmp_path):
    ended = serve_once("--model", str(tmp_path / "none"), "--data", str(tmp_path / "data"))
    assert ended.returncode == 1 and "none" in ended.stderr


def test_a_model_that_cant_be_looked_at(tmp_path):
    """A link to itself: not even root may follow it."""
    (tmp_path / "loop").symlink_to("loop")
    ended = serve_once("--model", str(tmp_path / "loop"), "--data", str(tmp_path / "data"))
    assert ended.returncode == 2 and "can't be looked at" in ended.stderr, ended.stderr


@pytest.mark.parametrize("damage", ["truncated weights", "no tokenizer", "broken template", "other architecture"])
def test_broken_model(tmp_path, damage):
    model = tmp_path / "model"
    shutil.copytree(TINY_MODEL, model)
    if damage == "truncated weights":
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        named = "model.safetensors"
    elif damage == "no tokenizer":
        (model / "tokenizer.json").unlink()
        named = "tokenizer.json"
    elif damage == "broken template":
        (model / "chat_template.jinja").write_text("{{ messages }}\n{% if %}")
        named = "chat template, line 2"
    else:
        config = (model / "config.json").read_text()
        (model / "config.json").write_text(config.replace("Qwen2ForCausalLM", "MambaForCausalLM"))
        named = "MambaForCausalLM"
    ended = serve_once("--model", str(model), "--data", str(tmp_path / "data"), "--port", "0", "--admin-port", "0")
    assert ended.returncode == 1 and named in ended.stderr, ended.stderr + ended.stdout


def test_more_ranks_than_kv_heads(tmp_path):
    ended = serve_once("--model", str(TINY_MODEL), "--tensor-parallel", "9", "--data", str(tmp_path / "data"))
    assert ended.returncode == 1 and "KV heads" in ended.stderr, ended.stderr


@pytest.mark.skipif(not may_mount() or BIN.is_relative_to("/tmp"), reason="a /tmp of its own needs the right to mount one")
def test_asking_about_a_model_writes_to_no_file_that_others_may_plant():
    """Its answer goes to memory without a name: nothing in /tmp is used, so no link that lies there is followed."""
    ended = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro tmpfs /tmp && exec "$@"', "sh", BIN / "quire",
                            "serve", "--model", TINY_MODEL, "--tensor-parallel", "9", "--data", "/tmp/none"],
                           capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1 and "KV heads" in ended.stderr, ended.stderr


@pytest.mark.parametrize("ranks", ["0", "65", "two"])
def test_ranks_that_are_no_number(ranks):
    ended = serve_once("--model", str(TINY_MODEL), f"--tensor-parallel={ranks}")
    assert ended.returncode == 2 and f"--tensor-parallel: '{ranks}' is neither auto nor a number" in ended.stderr, ended.stderr


@pytest.mark.parametrize("flag, named", [("--cors-origin=x", "--cors-origin: 'x'"), ("--reap-after=1", "--reap-after: 1 is outside"),
                                         ("--max-connections=0", "--max-connections: 0 is outside"),
                                         ("--weights=fp4", "--weights: 'fp4' is none of bf16, int8")])
def test_a_flag_that_is_passed_on_is_refused_before_weights_are_read(tmp_path, flag, named):
    ended = serve_once("--model", TINY_MODEL, "--data", tmp_path / "data", "--port", "0", "--admin-port", "0", flag)
    assert ended.returncode == 2 and named in ended.stderr, ended.stderr
    assert "weights" not in ended.stdout, ended.stdout


def test_instructions_that_this_machine_has_not(tmp_path):
    serve = ("--model", TINY_MODEL, "--data", tmp_path / "data", "--port", "0", "--admin-port", "0")
    unknown = serve_once(*serve, "--isa=amx-twin")  # of tests alone
    assert unknown.returncode == 2 and "--isa: 'amx-twin' is none of auto, avx2, avx512, amx" in unknown.stderr, unknown.stderr
    if "amx_bf16" in pathlib.Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU says that it has AMX: whether it can be used, kernels/cpu's tests try")
    ended = serve_once(*serve, "--isa=amx")
    assert ended.returncode == 1 and "--isa amx: this CPU has no A" in ended.stderr, ended.stderr


def options_of(*command):
    """{flag: its help}, as --help prints them."""
    said = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, timeout=300).stdout
    return {flag: text for flag, text in re.findall(r"^  --(\S+) .*?  (\S.*)$", said, re.MULTILINE)}


def test_serve_says_the_programs_own_defaults():
    own = options_of(BIN / "quire-coordinator") | options_of(BIN / "quire-gateway")
    passed_on = {flag: found[1] for flag, text in options_of(BIN / "quire", "serve").items()
                 if (found := re.search(r"\((\d+)\)", text))}
    assert {"max-unadmitted-per-key", "reap-after", "completion-nano-usd"} <= passed_on.keys()
    for flag, default in passed_on.items():
        assert f"(default {default})" in own[flag], flag


@pytest.mark.parametrize("cpus", ["all", "one"])
def test_without_the_flag_the_machine_says_how_many_ranks(cpus):
    under = ("taskset", "-c", str(min(os.sched_getaffinity(0)))) if cpus == "one" else ()
    with System(TINY_MODEL, under=under) as system:
        assert system.chat("Hi", max_tokens=3)[0] == 200
        [group] = system.groups()
        [(ranks, reason)] = re.findall(r"starting 1 group\(s\) of (\d+) rank\(s\) \((.*)\); logs", "".join(system.output))
        assert group["ranks"] == len(group["process"]["pids"]) == int(ranks)
        counts = [int(count) for count in re.search(r"(\d+(?: and \d+)*) usable CPU", reason)[1].split(" and ")]
        if cpus == "one":
            assert (ranks, counts) == ("1", [1]), reason
        else:
            assert sum(counts) == len(os.sched_getaffinity(0)), reason
        shares = [event for rank in range(int(ranks)) for event in log_events(system, f"g0-rank{rank}", "cpus")]
        threads = sum(share["threads"] for share in shares)
        if shares[0]["quota"] == "none":
            assert int(ranks) == min(len(counts), 3), reason  # 3 KV heads
            assert threads == sum(min(count, 256) for count in counts)  # kMaxComputeThreads
        else:  # a container's, which may leave less
            assert int(ranks) <= min(len(counts), 3) and threads <= max(int(ranks), int(shares[0]["quota"]))


def test_serve_in_a_pod_of_a_leader_worker_set_has_its_ranks_there():
    """The pod's variables are of a group on several hosts, and its ranks' defaults: none of these is one."""
    pod = ("env", "LWS_GROUP_SIZE=2", "LWS_WORKER_INDEX=1", "LWS_LEADER_ADDRESS=192.0.2.1")
    with System(TINY_MODEL, under=pod, tensor_parallel=2, kv_blocks=64) as system:
        assert system.chat("Hi", max_tokens=3)[0] == 200


@pytest.mark.parametrize("flag", ["--port", "--admin-port"])
def test_taken_port(tmp_path, flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        other = "--admin-port" if flag == "--port" else "--port"
        ended = serve_once("--model", str(TINY_MODEL), "--data", str(tmp_path / "data"), flag, port, other, "0")
    assert ended.returncode == 1 and port in ended.stderr, ended.stderr


@pytest.mark.parametrize("flags, named", [((), "--model"), (("--model", TINY_MODEL), "--model"),
                                          (("--model", TINY_MODEL, "--model-name", "a\tb"), "--model"),
                                          (("--model", TINY_MODEL, "--model-name", "a", "--gpus", "0"), "--gpus is for --backend"),
                                          (("--model", TINY_MODEL, "--model-name", "a", "--backend", "cuda", "--groups", "2", "--gpus", "0"),
                                           "--gpus names 1 GPUs, and 2 group(s) of 1 rank(s) take 2"),
                                          (("--groups", "0", "--admin-host", "0.0.0.0"), "--admin-host"),
                                          (("--groups", "0", "--host", "0.0.0.0"), "--tls-cert"),
                                          (("--groups", "0", "--tls-cert", "a"), "--tls-cert"),
                                          (("--groups", "0", "--host="), "--host is empty"),
                                          (("--groups", "0", "--metrics-host="), "--metrics-host is empty"),
                                          (("--groups", "0", "--data="), "--data is empty"),
                                          (("--end-groups", "--data="), "--data is empty")])
def test_a_coordinator_whose_command_line_is_wrong(tmp_path, flags, named):
    ended = subprocess.run([BIN / "quire-coordinator", "--data", tmp_path / "data", *flags], capture_output=True, text=True,
                           timeout=300)
    assert ended.returncode == 2 and named in ended.stderr, ended.stderr
    assert not (tmp_path / "data").exists()


def test_end_groups_is_for_folders_that_a_coordinator_had(tmp_path):
    def end_groups(data):
        return subprocess.run([BIN / "quire-coordinator", "--end-groups", "--data", data], capture_output=True, text=True,
                              timeout=300)
    ended = end_groups(tmp_path / "typo")
    assert ended.returncode == 78 and "no coordinator has had" in ended.stderr, ended.stderr
    assert not (tmp_path / "typo").exists()
    (tmp_path / "had").mkdir()
    (tmp_path / "had/lock").touch()
    ended = end_groups(tmp_path / "had")
    assert ended.returncode == 0 and f"no group that {tmp_path / 'had'} records runs" in ended.stdout, ended.stderr


def test_stop_drains_and_keeps_keys(tmp_path):
    data = tmp_path / "kept"
    with System(TINY_MODEL, data=data) as first:
        key = first.api_key
        assert first.chat("Hi", max_tokens=3)[0] == 200
        assert first.stop() == 0
    assert oct((data / "keys.json").stat().st_mode)[-3:] == "600"
    with System(TINY_MODEL, data=data) as second:
        assert second.api_key == key
        assert second.chat("Hi", max_tokens=3)[0] == 200


def test_a_terminal_that_is_closed_is_no_kill(tmp_path):
    """SIGHUP ends the tree as SIGTERM does, and nobody finds the keys in a ready file afterwards."""
    ready_file = tmp_path / "ready.json"
    with System(TINY_MODEL, ready_file=ready_file, under=("env", "--default-signal=HUP")) as system:  # the tests may run under nohup
        assert system.chat("Hi", max_tokens=3)[0] == 200
        os.kill(system.process.pid, signal.SIGHUP)
        code, said = system.ended()
        assert code == 0 and "stopping: open requests are finished first" in said, said
        assert not ready_file.exists()


def test_under_nohup_a_closed_terminal_is_nothing():
    with System(TINY_MODEL, under=("nohup", )) as system:
        os.kill(system.process.pid, signal.SIGHUP)
        status = dict(line.split(":\t") for line in pathlib.Path(f"/proc/{system.process.pid}/status").read_text().splitlines())
        assert not int(status["SigBlk"], 16) & 1 << (signal.SIGHUP - 1), "it would be taken sooner or later"
        assert system.chat("Hi", max_tokens=3)[0] == 200
        assert system.stop() == 0


@pytest.mark.parametrize("program", ["gateway", "coordinator"])
def test_ports_stay_ours_while_a_program_is_down(program):
    """A port that the system gave us must not go to somebody else before the program is back on it."""
    ip_local_port_range = 51  # Linux 6.3: only these ports are given where none is asked for
    with System(TINY_MODEL) as system:
        url = system.url if program == "gateway" else system.admin_url
        ports = [int(url.rpartition(":")[2])]
        if program == "coordinator":
            ports.append(int(json.loads((system.data / "run/coordinator").read_text())["grpc"].rpartition(":")[2]))
        before = system.pid_of(program)
        os.kill(before, signal.SIGKILL)

        def in_vain_until_the_next_life_answers():
            for port in ports:
                with socket.socket() as thief:
                    any_port = 0
                    try:
                        thief.setsockopt(socket.IPPROTO_IP, ip_local_port_range, struct.pack("I", port << 16 | port))
                    except OSError:  # an older kernel: by its number (kept_port_test says of any port)
                        any_port = port
                    with pytest.raises(OSError):
                        thief.bind(("127.0.0.1", any_port))
            with contextlib.suppress(LookupError, OSError):  # it is down
                return system.pid_of(program) != before and http("GET", url)[0]  # whatever it says
            return False
        until(f"the next {program} answers", in_vain_until_the_next_life_answers, pause=0.001)
        wait_until_it_answers(system)
        assert system.chat("Hi", max_tokens=3)[0] == 200


def serve_with_gateway(tmp_path, replace):
    """`quire serve` from a folder of programs whose gateway was replaced."""
    programs = tmp_path / "bin"
    shutil.copytree(BIN, programs)
    (programs / "quire-gateway").unlink()
    replace(programs / "quire-gateway")
    ended = serve_once("--model", TINY_MODEL, "--data", tmp_path / "data", "--port", "0", "--admin-port", "0",
                       programs=programs)
    assert ended.returncode == 1, ended.stderr
    return ended.stderr


def test_a_missing_program_is_named_before_anything_starts(tmp_path):
    said = serve_with_gateway(tmp_path, lambda path: None)
    assert "can't start" in said and "quire-gateway" in said
    assert not (tmp_path / "data/fleet.json").exists()


def test_a_gateway_that_can_not_start_ends_everything(tmp_path):
    def only_checks(path):
        path.write_text('#!/bin/sh\n[ "$1" = --check ] || { echo no luck >&2; exit 3; }\n')
        path.chmod(0o700)
    said = serve_with_gateway(tmp_path, only_checks)
    assert "the gateway can't start" in said, said
    left = json.loads((tmp_path / "data/fleet.json").read_text())["groups"][0]["ranks"]
    assert left and not any(start_time(rank["pid"]) == rank["start_time"] for rank in left)


def test_logs_have_bounds_and_stderr_has_its_place():
    with System(TINY_MODEL, tensor_parallel=2, log_files=2, log_max_mb=1) as system:
        assert system.chat("Hi", max_tokens=3)[0] == 200
        names = {path.name for path in system.data.glob("logs/*")}
        assert {"coordinator.log", "coordinator.err", "gateway.log", "gateway.err", "g0-rank0.log", "g0-rank1.err"} <= names
        [group] = system.groups()
        commands = [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0") for pid in group["process"]["pids"]]
        for command in commands:
            assert command[command.index("--log-files") + 1] == "2" and command[command.index("--log-max-mb") + 1] == "1"
        assert log_events(system, "g0-rank0", "group_ready")


def test_launcher_restarts_a_dead_gateway():
    with System(TINY_MODEL) as system:
        os.kill(system.pid_of("gateway"), signal.SIGKILL)
        wait_until_it_answers(system)
        assert system.chat("Hi", max_tokens=3)[0] == 200
