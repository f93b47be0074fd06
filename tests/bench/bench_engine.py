"""Decode and prefill tokens/s of a worker group over its wire, beside the machine's own lines measured in the same run:
    .venv/bin/python tests/bench/bench_engine.py [--model DIR] [--ranks 2] [--rounds 3]
Lines without a word on sampling draw at temperature 1 from the whole vocabulary; greedy and QwQ's own recommendation stand beside.
Ceilings are measured before and after each figure and the better one counts (machines are noisy). The line of a decode step
is the nearer of reading all weights once and computing 2 x parameters x streams (by AMX where it is used); of prefill it is
the compute line."""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from system import BIN, DEMO_MODEL, System, metric  # noqa: E402


QWQ = dict(temperature=0.6, top_k=20, top_p=0.95)  # what its generation_config.json recommends
LOADS = {
    "decode 1": dict(streams=1), "decode 8": dict(streams=8), "decode 32": dict(streams=32),
    "decode 32 greedy": dict(streams=32, temperature=0), "decode 32 top_k 20 top_p 0.95": dict(streams=32, **QWQ),
    "prefill 512": dict(streams=1, prompt_tokens=512, max_tokens=1)}


def ceilings():
    """(bytes/s of reading, FLOP/s of vdpbf16ps, FLOP/s of AMX tiles or 0), all with two threads."""
    found = json.loads(subprocess.run([BIN / "quire-kernel-bench", "--ceilings"], capture_output=True, text=True,
                                      check=True).stdout)
    return found["read_bytes_per_s"], found["bf16_flop_per_s"], found["amx_flop_per_s"]


def measure(group, **options):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    run = subprocess.run([BIN / "quire-bench-generate", f"--address={group['address']}", f"--group-epoch={group['epoch']}",
                          f"--pepper-file={group['pepper_file']}", *flags], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def engine_seconds(group):
    """Spent so far by rank 0's engine: in steps, and between them while there was work."""
    return [metric(group["rank_metrics"][0], f"quire_worker_{what}_seconds_sum") for what in ("step", "host")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEMO_MODEL, help="folder (default: the demo model)")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; medians are printed")
    options = parser.parse_args()
    figures, shares = {}, {}
    with System(options.model, tensor_parallel=options.ranks) as system:
        [group] = system.groups()
        on_tiles = "cpu-bf16-2" in group["numerics_id"]
        weight_bytes = sum(metric(address, "quire_worker_weight_bytes") for address in group["rank_metrics"])
        vocabulary = json.loads((pathlib.Path(options.model) / "config.json").read_text())["vocab_size"]
        for _ in range(options.rounds):
            for name, load in LOADS.items():
                before = ceilings()
                spent = engine_seconds(group)
                found = measure(group, rounds=1, vocabulary=vocabulary, **load)
                steps, host = (now - then for now, then in zip(engine_seconds(group), spent))
                shares.setdefault(name, []).append(host / steps)
                read, flops, amx = (max(pair) for pair in zip(before, ceilings()))
                streams = load["streams"]
                compute_line = (amx if on_tiles else flops) / weight_bytes  # 2 FLOP per parameter of 2 bytes
                line = compute_line if name.startswith("prefill") else min(streams * read / weight_bytes, compute_line)
                rate = found["prefill_tokens_per_s" if name.startswith("prefill") else "decode_tokens_per_s"]
                figures.setdefault(name, []).append((rate, rate / line, read, flops, amx))
    for name, rows in figures.items():
        rate, share, read, flops, amx = (statistics.median(column) for column in zip(*rows))
        print(f"{name:29} {rate:8.0f} tokens/s  {100 * share:4.0f} % of the line  "
              f"(read {read / 1e9:.1f} GB/s, bf16 {flops / 1e9:.0f} GFLOP/s"
              + (f"; AMX {amx / 1e9:.0f}, which {'the' if on_tiles else 'no'} matmuls use)" if amx > 0 else ")"))
    shares = ", ".join(f"{name} {100 * statistics.median(found):.2f} %" for name, found in shares.items() if "decode" in name)
    print(f"host work between steps, of their time: {shares}")
    ratio = statistics.median(many[0] / one[0] for many, one in zip(figures["decode 32"], figures["decode 1"]))
    print(f"32 streams to one: {ratio:.2f}")
    for name in ("decode 32", "decode 32 top_k 20 top_p 0.95"):
        ratio = statistics.median(sampled[0] / greedy[0] for sampled, greedy in zip(figures[name], figures["decode 32 greedy"]))
        print(f"{name} to greedy: {ratio:.2f}")


if __name__ == "__main__":
    main()
