"""kernels/cuda/toolkit.cmake: which nvcc a build folder takes as they come, go and move. CMake's own part, enable_language, is played:
it leaves the record of the compiler that the real one would go on with."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(toolkit LANGUAGES NONE)
macro(enable_language)
  set(record ${CMAKE_BINARY_DIR}/CMakeFiles/${CMAKE_VERSION}/CMakeCUDACompiler.cmake)
  if(EXISTS ${record})
    message(STATUS "recorded")
  endif()
  file(WRITE ${record} "")
endmacro()
include(toolkit.cmake)
"""
WORKS = "exit 0"


class Tree:
    """A project that has nothing but toolkit.cmake, on a machine with no nvcc but those that are made here."""

    def __init__(self, root):
        self.root = root
        text = (ROOT / "kernels/cuda/toolkit.cmake").read_text()
        self.write("toolkit.cmake", text.replace("/usr/local/cuda", str(root / "cuda")))
        self.write("CMakeLists.txt", PROJECT)
        (root / "build/bin").mkdir(parents=True)

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def nvcc(self, name, compiles=WORKS, release="13.0, V13.0.88"):
        log = self.root / "tried"
        self.write(name, f'#!/bin/sh\n[ "$1" != --version ] || {{ echo "Cuda compilation tools, release {release}"; exit 0; }}\n'
                         f'echo {name} >>{log}\n{compiles}\n')
        (self.root / name).chmod(0o755)
        return self.root / name

    def configure(self, *options):
        """What CMake says of CUDA, and which nvcc were tried."""
        (self.root / "tried").write_text("")
        self.done = subprocess.run(
            [shutil.which("cmake"), "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja')}", "-S", self.root, "-B",
             self.root / "build", *options], capture_output=True, text=True,
            env={**{name: value for name, value in os.environ.items() if not name.startswith("CUDA")},
                 "PATH": f"{self.root}/first:{self.root}/second"})
        said = re.findall(r"^-- (CUDA is .*|recorded)$", self.done.stdout, re.M)
        return [line.replace(f"{self.root}/", "") for line in said], (self.root / "tried").read_text().split()


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_a_choice_is_tried_once_and_a_new_one_drops_the_record(tree):
    tree.nvcc("second/nvcc")
    chosen = "CUDA is built by second/nvcc, release 13.0, V13.0.88"
    assert tree.configure() == ([chosen], ["second/nvcc"]), tree.done.stderr
    assert tree.configure() == ([chosen, "recorded"], [])
    tree.nvcc("first/nvcc", release="13.2, V13.2.1")
    assert tree.configure() == (["CUDA is built by first/nvcc, release 13.2, V13.2.1"], ["first/nvcc"])
    tree.nvcc("first/nvcc", release="12.8, V12.8.9")
    assert tree.configure() == ([f"{chosen}. first/nvcc, release 12.8, V12.8.9: older than 13.0"], ["second/nvcc"])
    tree.nvcc("second/nvcc", release="13.0, V13.0.99")  # another in its place
    assert tree.configure()[1] == ["second/nvcc"] and "recorded" not in tree.done.stdout


def test_auto_does_without_an_nvcc_that_compiles_nothing(tree):
    assert tree.configure()[0][0].startswith("CUDA is not built: no nvcc 13.0 or later that compiles is on PATH, in cuda or in .cuda,")
    tree.nvcc("first/nvcc", "echo 'in x.h:' >&2; echo 'x.h:3: error: unsupported; GNU version!' >&2; echo 'error: 2' >&2; exit 1")
    said, tried = tree.configure()
    assert said[0].endswith("first/nvcc, release 13.0, V13.0.88: x.h:3: error: unsupported; GNU version!") and tried == ["first/nvcc"]
    assert tree.done.returncode == 0 and "QUIRE_CUDA_MISSING:INTERNAL=no nvcc" in (tree.root / "build/CMakeCache.txt").read_text()
    tree.nvcc("cuda/bin/nvcc")
    said, tried = tree.configure()
    assert said[0].startswith("CUDA is built by cuda/bin/nvcc") and tried == ["first/nvcc", "cuda/bin/nvcc"]


def test_on_is_fatal_with_the_reason(tree):
    tree.nvcc("first/nvcc", "exit 7")
    assert tree.configure("-DQUIRE_CUDA=ON") == ([], ["first/nvcc"]) and tree.done.returncode == 1
    said = " ".join(tree.done.stderr.split())
    assert "QUIRE_CUDA is ON, and no nvcc" in said and ": exit 7. Without CUDA: -DQUIRE_CUDA=OFF" in said, said


def test_dot_cuda_counts_when_setup_came_to_its_end(tree):
    tree.nvcc(".cuda/lib/python3.11/site-packages/nvidia/cu13/bin/nvcc")
    assert tree.configure()[0][0].startswith("CUDA is not built")
    tree.write(".cuda/.requirements.sha256", "")
    assert tree.configure()[0][0].startswith("CUDA is built by .cuda/lib/")


@pytest.mark.parametrize("gone", ["nvcc", "QUIRE_CUDA"])
def test_without_cuda_no_library_of_before_is_left(tree, gone):
    nvcc, library = tree.nvcc("first/nvcc"), tree.root / "build/bin/libquire-cuda.so"
    tree.configure()
    library.write_text("")
    tree.configure()
    assert library.exists()
    if gone == "nvcc":
        nvcc.unlink()
    assert tree.configure(*["-DQUIRE_CUDA=OFF"] * (gone != "nvcc"))[0][0].startswith("CUDA is not built")
    assert not library.exists()
