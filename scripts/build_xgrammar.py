"""Builds xgrammar, the library that a worker's grammars are compiled by, into a folder: include/ and lib/libxgrammar.a.

Its C++ sources come out of its PyPI sdist (pinned by version and hash, not installed). One static library serves every
preset. Nothing is done where the folder is of this script. scripts/setup runs it: build_xgrammar.py DIR
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pinned_package
from pinned_package import Refused

NAME, VERSION = "xgrammar", "0.2.8"
SHA256 = "8305646fd2b319d6c3003f51a1665e54cbbe9cba1fb636bc41d0b46434ccbb80"
# It takes these options from a file in the build folder only.
CONFIG = """set(XGRAMMAR_BUILD_PYTHON_BINDINGS OFF)
set(XGRAMMAR_BUILD_CXX_TESTS OFF)
set(XGRAMMAR_ENABLE_CPPTRACE OFF)
set(XGRAMMAR_ENABLE_COVERAGE OFF)
set(XGRAMMAR_ENABLE_INTERNAL_CHECK OFF)
"""
# They stand behind its own: no link-time optimization (objects of another compiler could not be linked with it), and what
# a newer compiler warns about is not ours to mend. What it would log, a client's words among it, goes to worker/grammar.
FLAGS = "-O2 -DNDEBUG -fno-lto -fno-omit-frame-pointer -Wno-error -DXGRAMMAR_LOG_CUSTOMIZE=1"
STAMP = "stamp.sha256"


def say(text):
    print(f"setup: {text}", flush=True)


def wanted_stamp():
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def is_complete(folder):
    try:
        return (folder / STAMP).read_text() == wanted_stamp()
    except OSError:
        return False


def run(what, command, scratch):
    """Runs it; what it says is shown only where it fails."""
    # With paths made relative to it, ccache knows the sources again in another passing folder.
    environment = {**os.environ, "CCACHE_BASEDIR": str(scratch)}
    done = subprocess.run([str(part) for part in command], cwd=scratch, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        print(done.stdout, file=sys.stderr)
        raise Refused(f"{what} of {NAME} failed (its output is above)")


def python_with_pip(scratch):
    """This one, or, where it has no pip, that of a passing environment."""
    if importlib.util.find_spec("pip"):
        return sys.executable
    venv.create(scratch / "venv", with_pip=True)
    return scratch / "venv/bin/python"


def build(scratch, folder):
    sdist = pinned_package.download(f"{NAME}=={VERSION}", SHA256, scratch, from_source=True, python=python_with_pip(scratch))
    with tarfile.open(sdist) as archive:
        archive.extractall(scratch)  # what the hash pins
    objects = scratch / "objects"
    objects.mkdir()
    (objects / "config.cmake").write_text(CONFIG)
    launcher = shutil.which("ccache")
    run("the configuration", ["cmake", "-G", "Ninja", "-S", f"{NAME}-{VERSION}", "-B", objects, "-DCMAKE_BUILD_TYPE=Release",
                              f"-DCMAKE_CXX_FLAGS_RELEASE={FLAGS}", "-DCMAKE_CXX_COMPILER=g++",
                              *([f"-DCMAKE_CXX_COMPILER_LAUNCHER={launcher}"] if launcher else [])], scratch)
    jobs = subprocess.check_output([Path(__file__).with_name("jobs")], text=True).strip()
    run("the build", ["cmake", "--build", objects, "--parallel", jobs], scratch)
    run("the installation", ["cmake", "--install", objects, "--prefix", folder], scratch)
    (folder / STAMP).write_text(wanted_stamp())


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: build_xgrammar.py DIR")
    folder = Path(sys.argv[1]).resolve()
    if is_complete(folder):
        return
    say(f"building {NAME} {VERSION} in {folder.name}")
    try:
        with pinned_package.replaced(folder) as (scratch, fresh):
            build(scratch, fresh)
    except (Refused, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"setup: {error}")


if __name__ == "__main__":
    main()
