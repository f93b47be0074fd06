"""An upgrade in place, under load: each program is replaced on the disk and then told to end. No stream is cut, and bytes and
bill are those of a run that nobody disturbed."""
import os
import shutil
import signal

import pytest

from generated import tiny_long
from stream import retried
from system import BIN, System, until
from test_failover import MOST_TOKENS, STREAMS, Run, Stage, all_serving, check, no_alarms, restart_in_turn

PROGRAMS = ("quire", "quire-coordinator", "quire-gateway", "quire-worker")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_long(tmp_path_factory.mktemp("model"), 3 * MOST_TOKENS)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed") / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        shutil.copy(BIN / name, folder / name)
        shutil.copy(BIN / name, folder / f"{name}.new")
    return folder


def replace(programs):
    """As a package manager does: the new file is renamed over the old one, which runs on."""
    for name in PROGRAMS:
        (programs / f"{name}.new").rename(programs / name)


def runs(pid, program):
    """Whether the process runs the file that is there now."""
    return os.path.samestat(os.stat(f"/proc/{pid}/exe"), os.stat(program)) and os.readlink(f"/proc/{pid}/exe") == str(program)


def worker_pids(system):
    return [pid for group in system.groups() for pid in group["process"]["pids"]]


def tell_to_end(system, program):
    before = system.pid_of(program)
    os.kill(before, signal.SIGTERM)

    def replaced():
        try:
            return system.pid_of(program) != before
        except LookupError:
            return False
    until(f"another {program}", replaced)


def groups_serve(system):
    try:
        return all_serving(system) and len(system.groups()) == 2
    except (OSError, AssertionError):  # the coordinator isn't back
        return False


@pytest.mark.tiny
def test_upgrade_in_place_under_load(model, programs):
    stage = Stage(model, tokens=700, programs=programs)
    system = stage.system
    with system:
        def upgrade_what_decides_and_computes():
            replace(programs)
            assert not any(runs(system.pid_of(name), programs / f"quire-{name}") for name in ("coordinator", "gateway"))
            assert not any(runs(pid, programs / "quire-worker") for pid in worker_pids(system))
            tell_to_end(system, "coordinator")
            until("all groups serve", lambda: groups_serve(system))
            restart_in_turn(system)

        # The groups may need longer to register again than a new request waits for one.
        stage.disturbed((10, upgrade_what_decides_and_computes), send=retried)
        stage.disturbed_until_it_migrates(10, lambda: restart_in_turn(system))  # the new programs carry streams over, too
        assert runs(system.pid_of("coordinator"), programs / "quire-coordinator")
        assert all(runs(pid, programs / "quire-worker") for pid in worker_pids(system))
        assert [group["process"]["restarts"] for group in system.groups()] == [0, 0], "each ended as it was told"

        def upgrade_the_gateway():
            tell_to_end(system, "gateway")  # it ends when its streams have
            assert retried(lambda: system.chat("Hi", max_tokens=3))[0] == 200

        run = Run(system, stage.requests, [(10, upgrade_the_gateway)], retried)
        check(stage.calm, run)
        no_alarms(system)
        assert runs(system.pid_of("gateway"), programs / "quire-gateway")

        # The launcher's own program: the operator stops and starts it.
        assert not runs(system.process.pid, programs / "quire")
        assert system.stop() == 0
        with System(model, programs=programs, data=system.data) as after:
            assert runs(after.process.pid, programs / "quire")
            assert after.api_key == system.api_key
            assert after.chat("Hi", max_tokens=3)[0] == 200
            [row] = [row for row in after.usage() if row["key_id"] == run.key["id"]]
            assert row["requests"] == STREAMS
