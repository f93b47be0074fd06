"""What nvcc made of the kernels, read from the library and the program that were just built: no local memory, registers and shared
memory as each kernel's kThreads and kMinBlocks want them, tensor cores and 16-byte accesses where they are claimed."""
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / os.environ.get("QUIRE_BIN", "build/release/bin")
BUILT = [BIN / "libquire-cuda.so", BIN / "quire-cuda-sampling"]

# Bytes of shared memory of a multiprocessor, which gives each block 1 KiB beside what it asks for.
SHARED = {"sm_80": 164 << 10, "sm_90a": 228 << 10, "sm_100": 228 << 10}
REGISTERS, THREADS = 65536, 2048

# Past L1 what is read once, through it what other warps read, too.
COPIES, KEPT_COPIES = r"LDGSTS\.E\.BYPASS\..*\b128", r"LDGSTS\.E\.LTC128B\.128"
LOADS, STORES = r"LDG\.E\.(.*\.)?128", r"STG\.E\.(.*\.)?128"
WARP_PRODUCTS = [r"HMMA\.16816\.F32\.BF16", r"LDSM\.16\.M88\.4"]
GROUP_PRODUCTS = [r"HGMMA\.64x\d+x16\.F32\.BF16"]  # of sm_90a; others have a warp's
# Every kernel that is launched, a row each and for each head's size, and what must be in it, how often at least. A kernel
# in no row fails, and so does a row without a kernel.
CLAIMS = [
    *((rf"SkinnyGemm<SkinnyTiling<{leaves}, .*>, {out}>", [COPIES, KEPT_COPIES, *WARP_PRODUCTS], 1)
      for leaves in (1, 2, 4, 8) for out in ("float", "unsigned short")),
    ("AttentionNarrowKernel<64>", [COPIES, *WARP_PRODUCTS], 1),
    ("AttentionNarrowKernel<128>", [COPIES, *WARP_PRODUCTS], 1),
    ("AttentionWideKernel<64, GroupProducts>", [COPIES, *GROUP_PRODUCTS], 1),
    ("AttentionWideKernel<128, GroupProducts>", [COPIES, *GROUP_PRODUCTS], 1),
    ("AttentionCombineKernel<64>", [LOADS], 1),   # its token's
    ("AttentionCombineKernel<128>", [LOADS], 9),  # eight splits', too
    ("EmbedKernel", [LOADS, STORES], 1),
    ("AddRmsNormKernel<float>", [LOADS, STORES], 1),
    ("SiluMulKernel<unsigned short>", [LOADS, STORES], 1),
    ("RopeKernel<float>", [LOADS, STORES], 1),
    ("GatherRowsKernel", [LOADS, STORES], 1),
    *((f"TreeSumKernel<{leaves}>", [LOADS, STORES], 1) for leaves in (2, 4, 8)),
    ("AllReduceKernel", [LOADS, STORES], 1),
    ("SumPartsKernel", [LOADS, STORES], 1),
    ("SampleRows", [LOADS], 1),
    # Four bytes at a time: rows of any length.
    ("AddBiasKernel", [], 0),
    ("AdjustRows", [], 0),
    ("GatherColumnsKernel", [], 0),
    ("TakeSampledKernel", [], 0),
    ("BroadcastKernel", [], 0),
]

Kernel = collections.namedtuple("Kernel", "name arch registers stack shared opcodes")
Plan = collections.namedtuple("Plan", "threads blocks shared")


def tool(name):
    places = [*ROOT.glob(".venv/lib/python3*/site-packages/nvidia/cu13/bin"), *os.environ["PATH"].split(":")]
    path = ":".join(map(str, places))
    assert shutil.which(name, path=path), f"no {name}: scripts/setup installs it into .venv"
    return shutil.which(name, path=path), {**os.environ, "PATH": path}  # cuobjdump calls nvdisasm


def dump(file, what):
    program, environment = tool("cuobjdump")
    mangled = subprocess.run([program, what, file], env=environment, capture_output=True, text=True, check=True).stdout
    return subprocess.run(["c++filt"], input=mangled, capture_output=True, text=True, check=True).stdout.splitlines()


def kernels(resources, code):
    """From what cuobjdump says by -res-usage and by -sass: of each RunKernel and GPU. (One of several sources is there several times, all alike.)"""
    arch, name, opcodes = "", "", collections.defaultdict(collections.Counter)
    for line in code:
        if match := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]+)", line):
            opcodes[arch, name][match[1]] += 1
        elif match := re.match(r"\s+code for (\w+)", line):
            arch = match[1]
        elif match := re.match(r"\s+Function : (.*)", line):
            name = match[1]
            opcodes[arch, name].clear()
    found = []
    for line in resources:
        if match := re.match(r"arch = (\w+)", line):
            arch = match[1]
        elif match := re.match(r"\s*Function (.*):$", line):
            name = match[1]
        elif match := re.match(r"\s*REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", line):
            registers, stack, shared, local = map(int, match.groups())
            if kernel := re.match(r"void quire::kernels::cuda::RunKernel<(.*?) ?>\(", name):
                found.append(Kernel(kernel[1], arch, registers, stack + local, shared, opcodes[arch, name]))
    return found


def plans(names, folder):
    """What the kernels' headers say of themselves, by a program that asks them."""
    headers = [path.relative_to(ROOT) for path in sorted(ROOT.glob("kernels/cuda/**/*.h"))
               if "static QUIRE_DEVICE void Run(" in path.read_text()]
    source = "".join(f'#include "{header}"\n' for header in headers) + """#include <cstdio>
template <typename Kernel>
void Tell(const char* name) {
  int shared = 0;
  if constexpr (requires { Kernel::kSharedBytes; }) shared = Kernel::kSharedBytes;
  if constexpr (requires { Kernel::SharedBytes(152064); }) shared = Kernel::SharedBytes(152064);
  std::printf("[\\"%s\\", %d, %d, %d]\\n", name, Kernel::kThreads, Kernel::kMinBlocks, shared);
}
int main() {
""" + "".join(f'  Tell<{name}>("{name}");\n' for name in sorted(names)) + "}\n"
    (folder / "plans.cc").write_text(source)
    subprocess.run(["g++", "-std=c++20", "-I", ROOT, "-o", folder / "plans", folder / "plans.cc"], check=True)
    lines = subprocess.run([folder / "plans"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: Plan(*numbers) for name, *numbers in map(json.loads, lines)}


def local_memory(kernel):
    used = sorted(opcode for opcode in kernel.opcodes if re.match(r"(LDL|STL)\b", opcode))
    return [f"{kernel.stack} bytes of stack"] * (kernel.stack > 0) + [f"local memory: {used}"] * bool(used)


def occupancy(kernel, plan):
    registers = -(-kernel.registers // 8) * 8 * plan.threads * plan.blocks
    each = plan.shared + kernel.shared + (1024 if kernel.arch == "sm_80" else 0)  # later ones count it as the kernel's
    # On sm_80 kMinBlocks bounds registers alone, and the decode GEMM has smaller tilings for it (skinny_gemm_launch.h).
    blocks = plan.blocks if kernel.arch != "sm_80" else 0 if "SkinnyGemm<" in kernel.name else 1
    return ([f"{kernel.registers} registers for {plan}"] * (registers > REGISTERS) +
            [f"too many threads: {plan}"] * (plan.threads * plan.blocks > THREADS) +
            [f"{each} bytes of shared memory for {plan}"] * (each * blocks > SHARED[kernel.arch]))


def short(name):
    return name.replace("quire::kernels::cuda::", "")


def unclaimed(names):
    """The rows of CLAIMS that none of a GPU's kernels is in, and the kernels that are in no row."""
    claims, kernels_there = [claim for claim, _, _ in CLAIMS], list(map(short, names))
    return sorted([claim for claim in claims if not any(re.fullmatch(claim, kernel) for kernel in kernels_there)] +
                  [kernel for kernel in kernels_there if not any(re.fullmatch(claim, kernel) for claim in claims)])


def lacking(kernel):
    found = []
    for name, wants, least in CLAIMS:
        if not re.fullmatch(name, short(kernel.name)):
            continue
        if kernel.arch != "sm_90a" and GROUP_PRODUCTS[0] in wants:
            wants = [COPIES, *WARP_PRODUCTS]
        found += [f"no {want}" for want in wants
                  if sum(count for opcode, count in kernel.opcodes.items() if re.match(want, opcode)) < least]
    return found


@pytest.fixture(scope="module")
def built():
    cache = (BIN.parent / "CMakeCache.txt").read_text() if (BIN.parent / "CMakeCache.txt").exists() else ""
    why = re.search(r"^QUIRE_CUDA_MISSING:INTERNAL=(.*)$", cache, re.M)
    if why is None or why[1]:
        pytest.skip(f"CUDA is not built: {why[1] if why else f'{BIN.parent} is not configured'}")
    assert [file.name for file in BUILT if not file.exists()] == [], "cmake --build --preset cuda"
    return [kernel for file in BUILT for kernel in kernels(dump(file, "-res-usage"), dump(file, "-sass"))]


def check(faults_of, built):
    found = sorted({f"{kernel.arch} {kernel.name}: {fault}" for kernel in built for fault in faults_of(kernel)})
    assert not found, "\n".join(["", *found])


def test_every_gpu_has_every_kernel(built):
    named = collections.defaultdict(set)
    for kernel in built:
        named[kernel.arch].add(kernel.name)
    assert set(named) == set(SHARED)
    assert named["sm_80"] == named["sm_90a"] == named["sm_100"]
    assert unclaimed(named["sm_80"]) == []


def test_no_kernel_uses_local_memory(built):
    check(local_memory, built)


def test_registers_and_shared_memory_are_within_the_plan(built, tmp_path):
    asked = plans({kernel.name for kernel in built}, tmp_path)
    check(lambda kernel: occupancy(kernel, asked[kernel.name]), built)


def test_tensor_cores_and_wide_accesses_are_where_they_are_claimed(built):
    check(lacking, built)


RESOURCES = """arch = sm_90a
 Function void quire::kernels::cuda::RunKernel<quire::kernels::cuda::AttentionWideKernel<64, quire::kernels::cuda::GroupProducts> >(P):
  REG:129 STACK:8 SHARED:1024 LOCAL:0 CONSTANT[0]:1
 Function void other(P):
  REG:1 STACK:8 SHARED:0 LOCAL:0
"""
CODE = """\tcode for sm_90a
\t\tFunction : void quire::kernels::cuda::RunKernel<quire::kernels::cuda::AttentionWideKernel<64, quire::kernels::cuda::GroupProducts> >(P)
        /*0010*/              @!P0 LDGSTS.E.BYPASS.LTC128B.64 [R41], [R26.64] ;   /* 0x000000001a297fae */
        /*0020*/              @P1 STL.64 [R1], R2 ;  /* 0x000000001a297fae */
        /*0030*/                   HMMA.16816.F32.BF16 R1, R2 ;  /* 0x000000001a297fae */
"""


def test_the_gates_can_fail():
    [kernel] = kernels(RESOURCES.splitlines(), CODE.splitlines())
    assert local_memory(kernel) == ["8 bytes of stack", "local memory: ['STL.64']"]
    assert lacking(kernel) == [f"no {COPIES}", f"no {GROUP_PRODUCTS[0]}"]
    assert lacking(kernel._replace(arch="sm_100")) == [f"no {COPIES}", f"no {WARP_PRODUCTS[1]}"]
    assert occupancy(kernel, Plan(256, 1, 227 << 10)) == [] and len(occupancy(kernel, Plan(256, 1, (227 << 10) + 16))) == 1
    assert occupancy(kernel, Plan(240, 2, 113 << 10)) == [] and len(occupancy(kernel, Plan(240, 2, 114 << 10))) == 1
    assert len(occupancy(kernel, Plan(256, 2, 0))) == 1  # 136 registers each
    assert len(occupancy(kernel, Plan(704, 3, 0))) == 2  # registers, and 2112 threads
    every = {"quire::kernels::cuda::" + claim.replace(".*", "1") for claim, _, _ in CLAIMS}
    assert unclaimed(every) == []
    renamed = {name.replace("TreeSumKernel<2>", "SumTreeKernel<2>") for name in every}
    assert unclaimed(renamed) == ["SumTreeKernel<2>", "TreeSumKernel<2>"]
    assert unclaimed({name for name in every if "Attention" not in name or "128" not in name}) == [
        "AttentionCombineKernel<128>", "AttentionNarrowKernel<128>", "AttentionWideKernel<128, GroupProducts>"]
