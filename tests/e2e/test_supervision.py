"""What `quire serve` does about programs that end: it starts them again at once if they were told to, after a while if they
failed, and ends itself where no restart can help."""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess

import pytest

from stream import retried
from system import BIN, TINY_MODEL, System, serve_once, until
from test_failover import all_serving
from test_first_start import namespace
from test_helpers import Program
from test_shutdown import start_time

pytestmark = pytest.mark.tiny
PROGRAMS = ("quire", "quire-coordinator", "quire-gateway", "quire-worker")


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error"])
def test_ready_is_said_at_every_log_level(level):
    with System(TINY_MODEL, groups=2, log_level=level) as system:
        status, answer = system.chat("Hi", max_tokens=3)  # who is told "ready" may ask at once
        assert status == 200, answer


ONE_BREAKS = """#!/bin/sh
case "$*" in
*"--group-id g0 "*)
  [ ! -e "$0.broken" ] || { echo 'it is broken' >&2; exit 1; }
  echo $$ > "$0.g0" ;;
*"--group-id g1 "*)
  read -r go < "$0.hold" ;;
esac
exec "$0.real" "$@"
"""


def test_a_group_that_breaks_while_another_one_loads_keeps_nobody_from_it(tmp_path, programs):
    """It has served, and never will again; the other one is held until then."""
    worker = programs / "quire-worker"
    real, pid, broken, hold = (worker.with_suffix(f".{name}") for name in ("real", "g0", "broken", "hold"))
    worker.rename(real)
    worker.write_text(ONE_BREAKS)
    worker.chmod(0o700)
    os.mkfifo(hold)
    ready = tmp_path / "ready.json"
    quire = Program(programs / "quire", "serve", "--model", TINY_MODEL, "--data", tmp_path / "data", "--port", "0", "--admin-port", "0",
                    "--groups=2", "--tensor-parallel=1", "--ready-file", ready)
    try:
        quire.wait_for_output("quire: group g0 serves")
        broken.touch()
        os.kill(int(pid.read_text()), signal.SIGKILL)
        hold.write_text("go\n")
        quire.wait_for_output("quire: ready:")
        assert ready.exists() and quire.has_said("1 of 2 groups serve") and quire.has_said("it is broken")
        assert quire.has_said("quire: group g1 serves")
        broken.unlink()
        until("the group that is whole again", lambda: sum("group g0 serves" in line for line in list(quire.output)) == 2)
    finally:
        assert quire.stop() == 0


def processes(system):
    return [system.pid_of(program) for program in ("coordinator", "gateway")] + \
        [pid for group in system.groups() for pid in group["process"]["pids"]]


def ended(system, pids):
    """What it said; nothing of it runs any more."""
    code, said = system.ended()
    assert code == 1
    assert not [pid for pid in pids if start_time(pid)]
    return said


def test_a_ledger_that_is_lost_ends_everything():
    with System(TINY_MODEL, tensor_parallel=2) as system:
        assert system.chat("Hi", max_tokens=3)[0] == 200
        system.wait_for_settles()
        pids = processes(system)
        coordinator = system.pid_of("coordinator")
        os.kill(coordinator, signal.SIGSTOP)  # so that it writes no more
        for ending in ("-wal", "-shm"):
            (system.data / f"ledger.db{ending}").unlink(missing_ok=True)
        (system.data / "ledger.db").write_bytes(b"These were the books. " * 1000)
        os.kill(coordinator, signal.SIGKILL)
        said = ended(system, pids)
        assert "the coordinator ended (exit code 74), which a restart can't help: " in said, said
        words = said.partition("can't help: ")[2]
        assert f"{system.data}/ledger.db: " in words and "not a database" in words, said
        assert "restore it from a backup" in words, said


def installed(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        shutil.copy(BIN / name, programs / name)
    return programs


def put_script(path, text):
    new = path.with_suffix(".new")
    new.write_text(f"#!/bin/sh\n{text}\n")
    new.chmod(0o700)
    new.rename(path)


@pytest.mark.parametrize("program", ["gateway", "coordinator"])
def test_a_program_that_refuses_its_command_line_is_not_started_again(tmp_path, program):
    programs = installed(tmp_path)
    with System(TINY_MODEL, programs=programs) as system:
        pids = processes(system)
        # Of the coordinator's program, what ends the groups still works: it is another command line.
        real = programs / f"quire-{program}-real"
        (programs / f"quire-{program}").rename(real)
        put_script(programs / f"quire-{program}",
                   f'[ "$1" = --end-groups ] && exec "{real}" "$@"\necho unknown flag --data >&2\nexit 2')
        os.kill(system.pid_of(program), signal.SIGKILL)
        said = ended(system, pids)
        assert f"the {program} ended (exit code 2), which a restart can't help: unknown flag --data" in said, said


def test_a_worker_that_refuses_its_command_line_is_told_at_once(tmp_path):
    programs = installed(tmp_path)
    put_script(programs / "quire-worker",
               f'[ "$1" = --check ] && exec "{BIN}/quire-worker" "$@"\necho unknown flag --shm >&2\nexit 2')
    done = serve_once("--model", TINY_MODEL, "--data", tmp_path / "data", "--port", "0", "--admin-port", "0",
                      programs=programs)
    assert done.returncode == 1 and "the workers can't start: rank 0: exit code 2: unknown flag --shm" in done.stderr, done.stderr
    [group] = json.loads((tmp_path / "data/fleet.json").read_text())["groups"]
    assert group["restarts"] == 0


def test_a_group_that_fails_takes_none_that_serves_with_it(tmp_path):
    """The second group dies, again and again, while the first one serves; then it is well."""
    programs, data = installed(tmp_path), tmp_path / "data"
    (programs / "quire-worker").rename(programs / "quire-worker-real")
    put_script(programs / "quire-worker", f'''case "$*" in *"--group-id g1"*)
  until grep -q '"g0"' "{data}/run/coordinator"; do sleep 0.05; done
  echo failed >> "{tmp_path}/failures"
  [ "$(wc -l < "{tmp_path}/failures")" -gt 3 ] || {{ echo no luck >&2; exit 1; }}
esac
exec "$0-real" "$@"''')
    with System(TINY_MODEL, programs=programs, data=data, groups=2, tensor_parallel=1) as system:
        said = "".join(system.output)
        assert said.count("group g1 is lost and restarts: rank 0: exit code 1: no luck") == 3, said
        until("both groups serve", lambda: all_serving(system))


def test_a_program_that_cant_be_started_now_is_tried_again():
    """The launcher may open no more files: it can't start the gateway that died, and everything else goes on."""
    with System(TINY_MODEL) as system:
        launcher, coordinator = system.process.pid, system.pid_of("coordinator")
        # As many as it polls, so fewer than a start needs besides what is open. Whatever fails first, it says the same.
        before = resource.prlimit(launcher, resource.RLIMIT_NOFILE, (6, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        os.kill(system.pid_of("gateway"), signal.SIGKILL)
        system.wait_for_output("raise the limit on open files; trying again in")
        resource.prlimit(launcher, resource.RLIMIT_NOFILE, before)
        assert retried(lambda: system.chat("Hi", max_tokens=3))[0] == 200
        assert system.pid_of("coordinator") == coordinator
        assert system.stop() == 0


def with_inotify_limit(name, number):
    """A command that runs another one where the kernel gives so many inotify instances or watches."""
    command = ["unshare", "--user", "--map-root-user", "sh", "-c",
               f'echo {number} > /proc/sys/user/max_inotify_{name} && exec "$0" "$@"']
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    return command if tried.returncode == 0 else pytest.skip("unshare may not make a user namespace here")


@pytest.mark.parametrize("name", ["instances", "watches"])
def test_where_inotify_is_used_up_the_limit_is_named(tmp_path, name):
    serve = [BIN / "quire", "serve", "--model", TINY_MODEL, "--data", tmp_path / "data", "--port", "0", "--admin-port", "0"]
    ended = subprocess.run([*with_inotify_limit(name, 0), *serve], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1 and f"raise fs.inotify.max_user_{name}" in ended.stderr, ended.stderr
    # What shows progress, and what empties stderr's files when they grow, are done without.
    with System(TINY_MODEL, under=with_inotify_limit(name, 1)) as system:
        assert system.has_said(f"raise fs.inotify.max_user_{name}") and system.has_said("going on"), "".join(system.output)
        assert system.chat("Hi", max_tokens=3)[0] == 200
        assert system.stop() == 0


def children(pid, program=""):
    """{pid: state} of those that are this program; a dead one that nobody reaped has state Z."""
    found = {}
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            name, _, rest = pathlib.Path(f"/proc/{child}/stat").read_text().partition("(")[2].rpartition(") ")
        except OSError:  # just reaped
            continue
        if name.startswith(program[:15]):
            found[int(child)] = rest.split()[0]
    return found


def test_as_process_1_it_reaps_workers_whose_coordinator_died():
    with System(TINY_MODEL, tensor_parallel=2, under=namespace()) as system:
        [quire] = children(system.process.pid)
        [coordinator] = children(quire, "quire-coordinator")
        workers = children(coordinator, "quire-worker")
        assert len(workers) == 2
        os.kill(coordinator, signal.SIGKILL)
        until("the workers are adopted", lambda: workers.keys() <= children(quire, "quire-worker").keys())
        os.kill(min(workers), signal.SIGKILL)  # the next coordinator ends the other one
        until("both are reaped", lambda: not children(quire, "quire-worker"))
        assert retried(lambda: system.chat("Hi", max_tokens=3))[0] == 200
        os.kill(quire, signal.SIGTERM)
        assert system.process.wait(timeout=400) == 0


@pytest.mark.parametrize("program", ["gateway", "coordinator"])
def test_a_program_that_was_told_to_end_is_started_again(program):
    with System(TINY_MODEL) as system:
        before = system.pid_of(program)
        os.kill(before, signal.SIGTERM)
        system.wait_for_output(f"the {program} ended as it was told; starting it again")
        assert retried(lambda: system.chat("Hi", max_tokens=3))[0] == 200
        assert system.pid_of(program) != before


def test_with_its_coordinator_gone_nobody_waits_for_long():
    """Who waits is refused once patience is over, and who comes then is, without asking the coordinator at all."""
    with System(TINY_MODEL) as system:
        os.kill(system.process.pid, signal.SIGSTOP)  # it would start another one
        os.kill(system.pid_of("coordinator"), signal.SIGKILL)
        given_up = 'admission_given_up'
        log = system.data / "logs/gateway.log"
        assert system.chat("Hi", max_tokens=3)[0] == 503
        assert given_up in log.read_text()
        before = log.read_text().count(given_up)
        for _ in range(3):
            assert system.chat("Hi", max_tokens=3)[0] == 503
        assert log.read_text().count(given_up) == before, "they were refused at the door"
        os.kill(system.process.pid, signal.SIGCONT)
        assert retried(lambda: system.chat("Hi", max_tokens=3))[0] == 200
        assert system.stop() == 0
