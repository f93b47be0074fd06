"""What `cmake --install` gives: a tree that serves from wherever it is moved to, and a build that needs no test library."""
import re
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
    cuda = {path.name for path in BIN.glob("libquire-cuda.so")}  # where nvcc is
    assert {path.name for path in installed.iterdir()} == PROGRAMS | cuda
    assert (tmp_path / "second place/share/doc/quire/docs/OPERATIONS.md").exists()
    with System(TINY_MODEL, programs=installed) as system:
        running = {system.pid_of(program) for program in ("coordinator", "gateway")}
        running |= {pid for group in system.groups() for pid in group["process"]["pids"]}
        for pid in running:
            assert subprocess.check_output(["readlink", f"/proc/{pid}/exe"], text=True).startswith(str(installed))
        status, answer = system.chat("Hi", max_tokens=3)
        assert status == 200 and answer["usage"]["completion_tokens"] > 0


# Headers alone.
NOT_LINKED = {"libboost1.81-dev", "nlohmann-json3-dev"}


def dpkg_query(field, package):
    return subprocess.check_output(["dpkg-query", "-W", "-f", f"${{{field}}}", package], text=True)


def libraries_of(package):
    """The runtime packages of a -dev package and of those that it brings along."""
    needed = {name.split()[0] for name in re.split(r"[,|]", dpkg_query("Depends", package)) if name}
    brought = [libraries_of(name) for name in needed if name.startswith("lib") and name.endswith("-dev")]
    return needed.union(*brought)


@pytest.mark.full
def test_setup_for_the_runtime_lists_what_the_programs_link():
    """What they ask the loader for, by the packages that own it, against scripts/setup --runtime: no less, and no more."""
    files = set()
    for program in PROGRAMS:
        wanted = re.findall(r"\(NEEDED\).*\[(.*)\]", subprocess.check_output(["readelf", "-d", BIN / program], text=True))
        found = dict(re.findall(r"^\s*(\S+) => (/\S+)", subprocess.check_output(["ldd", BIN / program], text=True), re.M))
        files |= {f"*{found[name].removeprefix('/usr')}" for name in wanted if name in found}
    owners = subprocess.check_output(["dpkg", "-S", *files], text=True).splitlines()
    linked = {owner.split(":")[0] for owner in owners}
    assert len(linked) > 5
    setup = (ROOT / "scripts/setup").read_text()
    listed = {name for name in re.search(r"^packages=\((.*?)^\)", setup, re.M | re.S)[1].split()
              if name.startswith(("lib", "nlohmann", "prometheus", "zlib"))}
    of_the_compiler = {"libc6", "libgcc-s1", "libstdc++6"}
    brought = {package: libraries_of(package) for package in listed - NOT_LINKED}
    assert linked - of_the_compiler <= set().union(*brought.values())
    assert not [package for package, libraries in brought.items() if not libraries & linked]


def test_without_tests_no_test_library_is_looked_for(tmp_path):
    absent = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{package}=ON" for package in ("GTest", "benchmark", "Python3")]
    subprocess.run(["cmake", "-G", "Ninja", "-S", ROOT, "-B", tmp_path, "-DQUIRE_TESTS=OFF", *absent], check=True,
                   capture_output=True)
    targets = subprocess.check_output(["ninja", "-C", tmp_path, "-t", "targets", "all"], text=True)
    made = {line.split(":")[0] for line in targets.splitlines()}
    assert {f"bin/{program}" for program in PROGRAMS} <= made
    assert not [target for target in made if "gtest" in target or target.endswith(("_test", "_testing.a"))]
    assert "-Werror" not in (tmp_path / "build.ninja").read_text()  # a newer compiler's new warning stops nobody
