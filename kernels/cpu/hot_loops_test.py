"""No hot loop of the kernels may keep a vector on the stack: hot_loops_test.py LIBRARY (a release build's archive).
A compiler that spills the accumulators halves the speed and breaks nothing else, so only this would notice."""
import re
import subprocess
import sys

INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$")
# The multiply of each instruction set. The hot loops are the innermost ones with it and a broadcast from memory, other
# than of a constant.
DOT_PRODUCTS = {"kernels_avx512": "vdpbf16ps", "kernels_avx2": "vfmadd"}
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


def main(library):
    failed = False
    for member, dot in DOT_PRODUCTS.items():
        loops, spills = 0, {}
        for name, body in functions(library, member):
            for loop in innermost_loops(body):
                broadcasts = any("broadcast" in op and "(" in args and "%rip" not in args for _, op, args in loop)
                if not broadcasts or not any(op.startswith(dot) for _, op, _ in loop):
                    continue
                loops += 1
                count = sum(bool(STACK_VECTOR.search(args)) for _, _, args in loop)
                if count:
                    spills[name] = spills.get(name, 0) + count
        print(f"{member}: {loops} hot loops, {len(spills)} of them touch the stack with vectors")
        for name, count in spills.items():
            print(f"  {count} stack moves in {name}")
        failed |= loops == 0 or bool(spills)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
