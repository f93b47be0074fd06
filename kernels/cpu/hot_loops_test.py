"""No hot loop of the kernels may keep a vector on the stack: hot_loops_test.py LIBRARY (a release build's archive).
A compiler that spills the accumulators halves the speed and breaks nothing else, so only this would notice. Of AMX's
loops, which few machines can run, it holds every instruction on tiles against what it has to be."""
import re
import subprocess
import sys

INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(?:\{vex\} )?(\S+)\s*(.*)$")
# The multiply of each instruction set. The hot loops are the innermost ones with it and, but for AMX, a broadcast from
# memory, other than of a constant.
DOT_PRODUCTS = {"kernels_avx512.cc": "vdpbf16ps", "kernels_avx2.cc": "vfmadd", "kernels_amx.cc": "tdpbf16ps",
                "kernels_int8_avx512.cc": "vpdpbusd", "kernels_int8_avxvnni.cc": "vpdpbusd",
                "kernels_int8_avx2.cc": "vpmaddwd"}
STACK_VECTOR = re.compile(r"[yz]mm\d+.*\(%r[sb]p|\(%r[sb]p.*[yz]mm\d+")


def functions(library, member):
    listing = subprocess.run(["objdump", "-d", "-C", "--no-show-raw-insn", library], capture_output=True, text=True,
                             check=True).stdout
    inside, name, body = False, "", []
    for line in listing.splitlines():
        if ":     file format" in line:
            inside = member in line
        elif line.endswith(">:"):
            if body:
                yield name, body
            name, body = line, []
        elif inside and (found := INSTRUCTION.match(line)):
            body.append((int(found[1], 16), found[2], found[3]))
    if body:
        yield name, body


def innermost_loops(body):
    """Bodies between a backward jump and its target that hold no other such jump."""
    index = {address: i for i, (address, _, _) in enumerate(body)}
    spans = []
    for i, (_, op, args) in enumerate(body):
        target = re.match(r"([0-9a-f]+) <", args) if op.startswith("j") else None
        if target and index.get(int(target[1], 16), i + 1) <= i:
            spans.append((index[int(target[1], 16)], i))
    for start, end in spans:
        if not any((a, b) != (start, end) and start <= a and b <= end for a, b in spans):
            yield body[start:end + 1]


def tile_faults(loop):
    """What of a loop over tiles is not as kernels/cpu/tiles_amx.h means it: for each of one or two groups its rows of x
    are loaded into tile 6, then each strip of weights into tile 7 and multiplied into the sums of group and strip."""
    tiles = [(op, args) for _, op, args in loop if "tmm" in args]
    strips = sum(op == "tdpbf16ps" for op, _ in tiles)
    groups = len(tiles) - 2 * strips
    want, panel = [], strips // max(groups, 1)
    for group in range(groups):
        want.append(("tileloadd", r"(0x0)?\(.*\),%tmm6$"))
        for strip in range(panel):
            want += [("tileloadd", r"(0x0)?\(.*\),%tmm7$"), ("tdpbf16ps", f"%tmm7,%tmm6,%tmm{3 * group + strip}$")]
    faults = [f"{op} {args}" for _, op, args in loop if "%rsp" in args or "%rbp" in args]
    if groups not in (1, 2) or panel not in (1, 2, 3) or len(want) != len(tiles):
        return [f"{strips} products in {len(tiles)} instructions on tiles", *faults]
    return faults + [f"{op} {args}, not {name} {pattern}" for (op, args), (name, pattern) in zip(tiles, want)
                     if op != name or not re.match(pattern, args)]


def main(library):
    failed = False
    for member, dot in DOT_PRODUCTS.items():
        loops, spills = 0, {}
        for name, body in functions(library, member):
            for loop in innermost_loops(body):
                broadcasts = any("broadcast" in op and "(" in args and "%rip" not in args for _, op, args in loop)
                of_tiles = dot == "tdpbf16ps"
                if not (broadcasts or of_tiles) or not any(op.startswith(dot) for _, op, _ in loop):
                    continue
                loops += 1
                faults = tile_faults(loop) if of_tiles else [
                    f"{op} {args}" for _, op, args in loop if STACK_VECTOR.search(args)]
                if faults:
                    spills.setdefault(name, []).extend(faults)
        print(f"{member}: {loops} hot loops, {len(spills)} of them touch the stack or are not as meant")
        for name, faults in spills.items():
            print(f"  {len(faults)} in {name}: {faults[:3]}")
        failed |= loops == 0 or bool(spills)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
