"""How fast weights are loaded, beside what the disk gives: the same files read plainly, each from a cold page cache, in turn.
    .venv/bin/python tests/bench/bench_load.py [--model DIR | --gib 2 [--stored F32]] [--ranks 1] [--rounds 3]
Loading is what the workers' line `weights_loaded` says (docs/OPERATIONS.md); where ranks share the disk their bytes add up, over
the slowest one's time. A plain read is eight threads that read 1 MiB at a time. The first look at a page that is not cached
counts, so the folder has to be on the disk that is asked about, with room in memory for all of it."""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from system import DEMO_MODEL, System  # noqa: E402

CHUNK = 1 << 20


def forget(files):
    """Drops their pages from the page cache, and looks whether they are gone."""
    os.sync()
    for file in files:
        with open(file, "rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    listed = subprocess.run(["fincore", "--bytes", "--noheadings", "--output", "RES", *files], capture_output=True, text=True,
                            check=True)
    left = sum(map(int, listed.stdout.split()))
    assert left < sum(file.stat().st_size for file in files) / 50, f"{left} bytes stay in the page cache"


def read_plainly(files, threads=8):
    """bytes/s"""
    chunks = iter([(file, at) for file in files for at in range(0, file.stat().st_size, CHUNK)])
    lock = threading.Lock()

    def read():
        buffer, opened = bytearray(CHUNK), {}
        with contextlib.ExitStack() as stack:
            while True:
                with lock:
                    file, at = next(chunks, (None, 0))
                if file is None:
                    return
                if file not in opened:
                    opened[file] = stack.enter_context(open(file, "rb", buffering=0))
                os.preadv(opened[file].fileno(), [buffer], at)

    start = time.monotonic()
    readers = [threading.Thread(target=read) for _ in range(threads)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return sum(file.stat().st_size for file in files) / (time.monotonic() - start)


def load(model, ranks):
    """(bytes/s, MiB of all ranks)"""
    with System(model, tensor_parallel=ranks) as system:
        lines = [json.loads(line) for path in system.data.glob("logs/*-rank*.log") for line in path.read_text().splitlines()]
    loaded = [line for line in lines if line["event"] == "weights_loaded"]
    assert len(loaded) == ranks, lines
    mib = sum(int(line["read_mib"]) for line in loaded)
    return mib * 2**20 / max(int(line["ms"]) / 1000 for line in loaded), mib


def write_larger(folder, gib, stored):
    """The demo model with its layers repeated until its file has so many GiB, as BF16 or as F32."""
    import numpy
    shutil.copytree(DEMO_MODEL, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    source = (DEMO_MODEL / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(source[:8], "little")
    header = json.loads(source[8:start])
    header.pop("__metadata__", None)
    width = {"BF16": 1, "F32": 2}[stored]
    config = json.loads((folder / "config.json").read_text())
    layers = {}
    for name, entry in header.items():
        layer = int(name.split(".")[2]) if name.startswith("model.layers.") else None
        layers.setdefault(layer, {})[name] = entry
    of_layer = sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in layers[0].values()) * width
    count = max(1, (gib << 30) // of_layer)
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": count}))
    entries, at, spans = {}, 0, []
    for layer in [None, *range(count)]:
        for name, entry in layers[None if layer is None else layer % config["num_hidden_layers"]].items():
            begin, end = entry["data_offsets"]
            name = name if layer is None else ".".join(["model.layers", str(layer), *name.split(".")[3:]])
            entries[name] = {"dtype": stored, "shape": entry["shape"], "data_offsets": [at, at + (end - begin) * width]}
            at += (end - begin) * width
            spans.append((start + begin, start + end))
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for begin, end in spans:
            values = numpy.frombuffer(source[begin:end], dtype=numpy.uint16)
            file.write(values.tobytes() if width == 1 else (values.astype(numpy.uint32) << 16).tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=DEMO_MODEL, help="folder (default: the demo model)")
    parser.add_argument("--gib", type=int, default=0, help="the demo model's layers, repeated to a file of so many GiB")
    parser.add_argument("--stored", choices=["BF16", "F32"], default="BF16", help="of --gib")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="medians are printed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quire-bench-load-", dir=pathlib.Path.cwd()) as temporary:
        model = options.model
        if options.gib:
            model = pathlib.Path(temporary) / "model"
            write_larger(model, options.gib, options.stored)
        files = sorted(model.glob("*.safetensors"))
        rows = []
        for _ in range(options.rounds):
            forget(files)
            plain = read_plainly(files)
            forget(files)
            loading, mib = load(model, options.ranks)
            rows.append((plain, loading, loading / plain))
            print(f"plain read {plain / 1e9:.2f} GB/s, loading {loading / 1e9:.2f} GB/s of {mib} MiB", flush=True)
    plain, loading, ratio = (statistics.median(column) for column in zip(*rows))
    print(f"median: plain read {plain / 1e9:.2f} GB/s, loading {loading / 1e9:.2f} GB/s, loading to plain read {ratio:.2f}")


if __name__ == "__main__":
    main()
