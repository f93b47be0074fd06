"""A folder of Quire's programs with the CUDA backend beside them whose kernels run on fibers: worker and engine can't tell it from
GPUs. QUIRE_TEST_GPU says which there are (kernels/cuda/backend/testing/fiber_plugin.cc)."""
import collections
import json
import re
import shutil

from system import BIN

FIBERS = BIN.parent / "testdata/plugins/quire-cuda-fibers.so"
PROGRAMS = ["quire", "quire-coordinator", "quire-gateway", "quire-worker"]


def copy_programs(folder):
    folder.mkdir()
    for program in PROGRAMS:
        shutil.copy(BIN / program, folder)
    return folder


def with_library(programs, library=FIBERS):
    shutil.copy(library, programs / "libquire-cuda.so")
    return programs


def devices_of(system):
    """What each start of each rank said that it computes on: {(group, rank): [line, ...]}."""
    devices = collections.defaultdict(list)
    for path in system.data.glob("logs/g*-rank*.log"):
        group, rank = re.fullmatch(r"(g\d+)-rank(\d+)", path.stem).groups()
        devices[group, int(rank)] += [json.loads(line) for line in path.read_text().splitlines() if '"event":"device"' in line]
    return dict(devices)


def device_of(system):
    """Of the one group's rank 0, which started once."""
    [line] = devices_of(system)["g0", 0]
    return line


def gpus_of(system):
    """{(group, rank): [its GPU at each start]}."""
    return {rank: [line["reason"].rpartition(", ")[2] for line in lines] for rank, lines in devices_of(system).items()}
