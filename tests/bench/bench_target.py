"""Time between tokens of 8 streams while prompts of 2,000 tokens arrive one after another, --target-step-ms on against off:
    .venv/bin/python tests/bench/bench_target.py [--model DIR] [--target 80] [--rounds 5]
Two groups of the same model, one with the target and one without, each idle while the other is measured; rounds alternate, so that a
machine that gets slower or faster meets both. What counts are the ratios of the same round; medians over the rounds are printed."""
import argparse
import json
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from bench_engine import measure  # noqa: E402
from system import DEMO_MODEL, System, metric  # noqa: E402

FIGURES = {"gap_p50_ms": "ms between tokens, median", "gap_p99_ms": "ms between tokens, p99",
           "decode_tokens_per_s": "tokens/s of the streams", "beside_tokens_per_s": "prompt tokens/s beside them"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEMO_MODEL, help="folder (default: the demo model)")
    parser.add_argument("--target", type=int, default=80, help="ms (default: 80)")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    vocabulary = json.loads((pathlib.Path(options.model) / "config.json").read_text())["vocab_size"]
    load = dict(rounds=1, streams=8, max_tokens=400, beside_prompts=4, vocabulary=vocabulary)
    common = dict(tensor_parallel=1, kv_blocks=1500)
    found = {"on": [], "off": []}
    with System(options.model, target_step_ms=options.target, **common) as on, \
            System(options.model, target_step_ms=0, **common) as off:
        for _ in range(options.rounds):
            for name, system in (("on", on), ("off", off)):
                [group] = system.groups()
                found[name].append(measure(group, **load))
        [metrics] = on.groups()[0]["rank_metrics"]
        late, mixed = (metric(metrics, f"quire_worker_{what}_total") for what in ("steps_over_target", "mixed_steps"))
    for figure, what in FIGURES.items():
        on, off = (statistics.median(row[figure] for row in found[name]) for name in ("on", "off"))
        ratio = statistics.median(a[figure] / b[figure] for a, b in zip(found["on"], found["off"]))
        print(f"{what:28} {options.target} ms: {on:8.1f}   off: {off:8.1f}   ratio {ratio:.2f}")
    print(f"steps with prompts beside streams that took longer than {options.target} ms: {late:.0f} of {mixed:.0f}")


if __name__ == "__main__":
    main()
