"""What the gateway costs: the real quire-gateway between quire-bench-sse and a mock worker group over gRPC.
    .venv/bin/python tests/bench/bench_gateway.py [--rounds 3]
The gateway is pinned to core 0, load and mock to core 1. Medians over the rounds. Text is one byte per token (the mock's
tokenizer), so a real tokenizer's work is not in these figures."""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from system import BIN  # noqa: E402

# name -> (interval_us, load)
LOADS = {
    "requests, 64 connections": (0, dict(streams=64, requests=20000, tokens=1, no_stream=True)),
    "one request at a time": (0, dict(streams=1, requests=3000, tokens=1, no_stream=True)),
    "512 streams, unpaced": (0, dict(streams=512, requests=2048, tokens=200)),
    "64 streams, unpaced, 4 grants": (0, dict(streams=64, requests=512, tokens=1000)),
    "512 streams, 25 tokens/s each": (40000, dict(streams=512, requests=1024, tokens=200)),
    "1 stream, paced": (5000, dict(streams=1, requests=20, tokens=100)),
}


@contextlib.contextmanager
def program(name, core, *flags):
    cores = sorted(os.sched_getaffinity(0))
    process = subprocess.Popen(["taskset", "-c", str(cores[core % len(cores)]), BIN / name, *flags],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(path):
    for _ in range(600):
        if path.exists():
            return json.loads(path.read_text())
        time.sleep(0.05)
    raise RuntimeError(f"{path.name} was not written")


def measure(interval_us, load):
    with tempfile.TemporaryDirectory(prefix="quire-bench-") as folder:
        ready = pathlib.Path(folder) / "ready.json"
        with program("quire-bench-backend", 1, f"--folder={folder}", f"--interval-us={interval_us}") as backend:
            backend = json.loads(backend.stdout.readline())
            with program("quire-gateway", 0, f"--coordinator={backend['coordinator']}", "--port=0", "--log-level=error", "--drain-delay-ms=0",
                         f"--pepper-file={folder}/pepper", f"--ready-file={ready}", "--threads=1"):
                gateway = wait_for(ready)
                flags = [f"--{name}" if value is True else f"--{name}={value}"
                         for name, value in ((name.replace("_", "-"), value) for name, value in load.items())]
                with program("quire-bench-sse", 1, f"--url-port={gateway['api'].rsplit(':', 1)[1]}",
                             f"--server-pid={gateway['pid']}", f"--key={backend['key']}", f"--model={backend['model']}",
                             f"--interval-us={interval_us}", *flags) as run:
                    found = json.loads(run.communicate()[0])
                rss = pathlib.Path(f"/proc/{gateway['pid']}/status").read_text()
                found["rss_mib"] = int(rss.split("VmRSS:")[1].split()[0]) / 1024
                return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; medians are printed")
    rounds = parser.parse_args().rounds
    figures = {name: [] for name in LOADS}
    for _ in range(rounds):
        for name, (interval_us, load) in LOADS.items():
            figures[name].append(measure(interval_us, load))
    for name, rows in figures.items():
        median = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        print(f"{name:30} failed {median['failed']:.0f}  {median['requests_per_s']:8.0f} requests/s  "
              f"{median['tokens_per_s']:8.0f} tokens/s  CPU {median['server_cpu_us_per_request']:.0f} us/request, "
              f"{median['server_cpu_ms_per_1000_tokens']:.1f} ms/1,000 tokens  first chunk p50 {median['ttfb_p50_ms']:.2f} "
              f"p99 {median['ttfb_p99_ms']:.2f} ms  added p50 {median['added_p50_ms']:.2f} ms  {median['rss_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
