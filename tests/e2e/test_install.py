"""What `cmake --install` gives: a tree that serves from wherever it is moved to, and a build that needs no test library."""
import shutil
import subprocess

import pytest

from system import BIN, ROOT, TINY_MODEL, System

PROGRAMS = {"quire", "quire-coordinator", "quire-gateway", "quire-worker"}


@pytest.mark.tiny
def test_an_installed_tree_may_be_moved(tmp_path):
    subprocess.run(["cmake", "--install", BIN.parent, "--prefix", tmp_path / "first"], check=True, capture_output=True,
                   timeout=300)
    shutil.move(tmp_path / "first", tmp_path / "second place")
    installed = tmp_path / "second place/bin"
    assert {path.name for path in installed.iterdir()} == PROGRAMS
    assert (tmp_path / "second place/share/doc/quire/docs/OPERATIONS.md").exists()
    with System(TINY_MODEL, programs=installed) as system:
        running = {system.pid_of(program) for program in ("coordinator", "gateway")}
        running |= {pid for group in system.groups() for pid in group["process"]["pids"]}
        for pid in running:
            assert subprocess.check_output(["readlink", f"/proc/{pid}/exe"], text=True).startswith(str(installed))
        status, answer = system.chat("Hi", max_tokens=3)
        assert status == 200 and answer["usage"]["completion_tokens"] > 0


def test_without_tests_no_test_library_is_looked_for(tmp_path):
    absent = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{package}=ON" for package in ("GTest", "benchmark", "Python3")]
    subprocess.run(["cmake", "-G", "Ninja", "-S", ROOT, "-B", tmp_path, "-DQUIRE_TESTS=OFF", *absent], check=True,
                   capture_output=True)
    targets = subprocess.check_output(["ninja", "-C", tmp_path, "-t", "targets", "all"], text=True)
    made = {line.split(":")[0] for line in targets.splitlines()}
    assert {f"bin/{program}" for program in PROGRAMS} <= made
    assert not [target for target in made if "gtest" in target or target.endswith(("_test", "_testing.a"))]
    assert "-Werror" not in (tmp_path / "build.ninja").read_text()  # a newer compiler's new warning stops nobody
