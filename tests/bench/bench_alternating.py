"""Decode tokens/s of several systems that are up at once, or under several loads, in turn: what differs by less than the
machine's own unrest shows in no other way.
    .venv/bin/python tests/bench/bench_alternating.py --as "" --as "weights=int8 tensor-parallel=2" --load "streams=1"
--as: flags of `quire serve`, with TREE=DIR among them another checkout's, built. --load: flags of quire-bench-generate. Both
without their dashes.
--llama-bench PROGRAM --gguf FILE: one stream of llama.cpp beside them (write_gguf.py makes such a file)."""
import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def system_of(tree):
    """Its own tests/e2e/system.py, over its own programs."""
    os.environ["QUIRE_BIN"] = str(tree / "build/release/bin")
    spec = importlib.util.spec_from_file_location(f"system_of_{tree.name}", tree / "tests/e2e/system.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(stack, model, words):
    flags = dict(word.split("=", 1) for word in words.split())
    module = system_of(pathlib.Path(flags.pop("TREE", ROOT)))
    [group] = stack.enter_context(module.System(model, **flags)).groups()
    return module.BIN / "quire-bench-generate", group


def measure(program, group, vocabulary, load):
    flags = [f"--pepper-file={group['pepper_file']}"] if "pepper_file" in group else []
    run = subprocess.run([program, f"--address={group['address']}", f"--group-epoch={group['epoch']}", "--rounds=1",
                          f"--vocabulary={vocabulary}", *flags, *(f"--{word}" for word in load.split())], capture_output=True,
                         text=True, check=True)
    return json.loads(run.stdout)["decode_tokens_per_s"]


def llama(program, gguf):
    run = subprocess.run([program, "-m", gguf, "-t", "2", "-p", "0", "-n", "64", "-r", "1", "-o", "json"], capture_output=True,
                         text=True, check=True)
    return json.loads(run.stdout)[0]["avg_ts"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/smollm2-135m-instruct")
    parser.add_argument("--as", dest="systems", action="append", metavar="FLAGS")
    parser.add_argument("--load", dest="loads", action="append", metavar="FLAGS")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--llama-bench", metavar="PROGRAM")
    parser.add_argument("--gguf", metavar="FILE")
    options = parser.parse_args()
    vocabulary, rates = json.loads((options.model / "config.json").read_text())["vocab_size"], {}
    with contextlib.ExitStack() as stack:
        up = {words: start(stack, options.model, words) for words in options.systems or [""]}
        for _ in range(options.rounds):
            for words, (program, group) in up.items():
                for load in options.loads or ["streams=1"]:
                    rates.setdefault((words, load), []).append(measure(program, group, vocabulary, load))
            if options.llama_bench:
                rates.setdefault(("llama.cpp", "streams=1"), []).append(llama(options.llama_bench, options.gguf))
    for (words, load), values in rates.items():
        print(f"{words or 'as it is':30} {load:45} median {statistics.median(values):7.1f}  {[round(value) for value in values]}")


if __name__ == "__main__":
    main()
