"""Decode and prefill tokens/s of a worker group over its wire, beside the machine's own lines measured in the same run:
    .venv/bin/python tests/bench/bench_engine.py [--model DIR] [--ranks 2] [--rounds 3] [--int8]
Lines without a word on sampling draw at temperature 1 from the whole vocabulary; greedy and QwQ's own recommendation stand beside.
Ceilings are measured before and after each figure and the better one counts (machines are noisy). The line of a decode step
is the nearer of reading all weights once and computing 2 x parameters x streams (by AMX where it is used); of prefill it is
the compute line. With --int8: the same with --weights int8 in
turn, and its ratio to bf16; its compute line counts what stays in bf16 as such."""
import argparse
import contextlib
import json
import math
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from system import BIN, DEMO_MODEL, System, metric  # noqa: E402


QWQ = dict(temperature=0.6, top_k=20, top_p=0.95)  # what its generation_config.json recommends
# A grammar that never ends: what its masks cost stands in the host work between the steps.
ENDLESS = json.dumps({"type": "structural_tag", "format": {"type": "json_schema", "json_schema": {
    "type": "array", "minItems": 1000, "items": {"type": "object", "properties": {
        "name": {"type": "string"}, "count": {"type": "integer"}, "kind": {"enum": ["red", "green", "blue"]}},
        "required": ["name", "count", "kind"], "additionalProperties": False}}}})
LOADS = {
    "decode 1": dict(streams=1), "decode 8": dict(streams=8), "decode 32": dict(streams=32),
    "decode 32 greedy": dict(streams=32, temperature=0), "decode 32 top_k 20 top_p 0.95": dict(streams=32, **QWQ),
    "decode 32 schema": dict(streams=32, structural_tag=ENDLESS),
    "prefill 512": dict(streams=1, prompt_tokens=512, max_tokens=1)}


def ceilings():
    """This machine's lines, with two threads: bytes/s of reading, FLOP/s of vdpbf16ps and of AMX's tiles, OP/s of vpdpbusd; 0
    where there is none."""
    found = json.loads(subprocess.run([BIN / "quire-kernel-bench", "--ceilings"], capture_output=True, text=True,
                                      check=True).stdout)
    return {"read": found["read_bytes_per_s"], "bf16": found["bf16_flop_per_s"], "amx": found["amx_flop_per_s"],
            "int8": found["int8_op_per_s"]}


def measure(group, **options):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    run = subprocess.run([BIN / "quire-bench-generate", f"--address={group['address']}", f"--group-epoch={group['epoch']}",
                          f"--pepper-file={group['pepper_file']}", *flags], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def engine_seconds(group):
    """Spent so far by rank 0's engine: in steps, and between them while there was work."""
    return [metric(group["rank_metrics"][0], f"quire_worker_{what}_seconds_sum") for what in ("step", "host")]


class Served:
    """A system with these weights, and its lines."""

    def __init__(self, system, weights):
        [self.group] = system.groups()
        self.weights, self.on_tiles = weights, "cpu-bf16-2" in self.group["numerics_id"]
        self.bytes = sum(metric(address, "quire_worker_weight_bytes") for address in self.group["rank_metrics"])
        self.figures = {}

    def tokens_per_s_by_arithmetic(self, at_best, bf16_bytes):
        """2 operations per parameter: of 2 bytes, or of one byte and its part of a scale (bf16_bytes: of all in bf16)."""
        of_bf16 = at_best["amx" if self.on_tiles else "bf16"]
        in_int8 = (bf16_bytes - self.bytes) / 0.975
        left = bf16_bytes / 2 - in_int8
        if in_int8 > 0 and at_best["int8"] == 0:
            return math.inf  # no line of this machine's is known
        return 1 / (2 * left / of_bf16 + (2 * in_int8 / at_best["int8"] if in_int8 > 0 else 0))

    def run(self, name, load, vocabulary, bf16_bytes):
        before, spent = ceilings(), engine_seconds(self.group)
        found = measure(self.group, rounds=1, vocabulary=vocabulary, **load)
        steps, host = (now - then for now, then in zip(engine_seconds(self.group), spent))
        at_best = {line: max(value, before[line]) for line, value in ceilings().items()}
        line = self.tokens_per_s_by_arithmetic(at_best, bf16_bytes)
        if not name.startswith("prefill"):
            line = min(load["streams"] * at_best["read"] / self.bytes, line)
        rate = found["prefill_tokens_per_s" if name.startswith("prefill") else "decode_tokens_per_s"]
        self.figures.setdefault(name, []).append({"rate": rate, "share": rate / line, "host": host / steps, **at_best})

    def print(self):
        print(f"{self.weights}: {self.bytes / 2**20:.0f} MiB of weights")
        for name, rows in self.figures.items():
            found = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            print(f"{name:29} {found['rate']:8.0f} tokens/s  {100 * found['share']:4.0f} % of the line  "
                  f"(read {found['read'] / 1e9:.1f} GB/s, bf16 {found['bf16'] / 1e9:.0f} GFLOP/s, int8 {found['int8'] / 1e9:.0f} GOP/s"
                  + (f"; AMX {found['amx'] / 1e9:.0f}, which {'the' if self.on_tiles else 'no'} matmuls use)" if found["amx"] > 0 else ")"))
        shares = ", ".join(f"{name} {100 * statistics.median(row['host'] for row in rows):.2f} %" for name, rows in self.figures.items()
                           if "decode" in name)
        print(f"host work between steps, of their time: {shares}")
        print(f"32 streams to one: {ratio(self, 'decode 32', self, 'decode 1'):.2f}")
        for name in ("decode 32", "decode 32 top_k 20 top_p 0.95"):
            print(f"{name} to greedy: {ratio(self, name, self, 'decode 32 greedy'):.2f}")


def ratio(of, name, to, other):
    return statistics.median(a["rate"] / b["rate"] for a, b in zip(of.figures[name], to.figures[other]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEMO_MODEL, help="folder (default: the demo model)")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; medians are printed")
    parser.add_argument("--int8", action="store_true", help="beside bf16, in turn")
    options = parser.parse_args()
    vocabulary = json.loads((pathlib.Path(options.model) / "config.json").read_text())["vocab_size"]
    with contextlib.ExitStack() as running:
        served = [Served(running.enter_context(System(options.model, tensor_parallel=options.ranks, weights=weights)), weights)
                  for weights in (["bf16", "int8"] if options.int8 else ["bf16"])]
        bf16_bytes = served[0].bytes
        for _ in range(options.rounds):
            for name, load in LOADS.items():
                for one in served:
                    one.run(name, load, vocabulary, bf16_bytes)
    for one in served:
        one.print()
    for one in served[1:]:
        print(f"{one.weights} to {served[0].weights}: "
              + ", ".join(f"{name} {ratio(one, name, served[0], name):.2f}" for name in LOADS))


if __name__ == "__main__":
    main()
