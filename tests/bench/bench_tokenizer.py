"""The gateway's tokenizer beside Hugging Face's on the same texts, one thread each, in turn:
    .venv/bin/python tests/bench/bench_tokenizer.py [--tokenizer FILE] [--rounds 5]
The texts are pieces of a prompt's length: this repository's prose, its code, and ids at random, which are words of all the vocabulary's
scripts in no order. Ids must be equal. Medians; Hugging Face's figure is encode_batch_fast (no offsets)."""
import argparse
import hashlib
import json
import os
import pathlib
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from system import BIN  # noqa: E402

PIECE = 8000  # characters


def pieces(tokenizer, text):
    """Without the markup of added tokens: a user's is text to us."""
    for token in tokenizer.get_added_tokens_decoder().values():
        text = text.replace(token.content, "")
    return [text[i:i + PIECE] for i in range(0, len(text), PIECE)]


def texts_of(tokenizer):
    """name -> texts, about 1 MB each."""
    def files(pattern):
        return "\n".join(path.read_text() for path in sorted(ROOT.glob(pattern)))[:1_000_000]
    ids = random.Random(7)
    words = tokenizer.decode([ids.randrange(tokenizer.get_vocab_size()) for _ in range(200_000)], skip_special_tokens=True)
    texts = {"prose": files("docs/**/*.md") * 4, "code": files("gateway/**/*.cc"), "every script": words[:600_000]}
    return {name: pieces(tokenizer, text) for name, text in texts.items()}


def theirs(tokenizer, texts):
    start = time.perf_counter()
    encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    seconds = time.perf_counter() - start
    ids = [token for one in encoded for token in one.ids]
    return seconds, hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).hexdigest(), len(ids)


def ours(file, texts):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as written:
        json.dump(texts, written)
        written.flush()
        run = subprocess.run([BIN / "quire-bench-tokenizer", f"--tokenizer={file}", f"--texts={written.name}", "--rounds=3"],
                             capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    return statistics.median(found["seconds"]), found["sha256"], found["ids"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", default=ROOT / "build/testdata/text/qwen2/tokenizer.json", help="tokenizer.json (default: Qwen2's)")
    parser.add_argument("--rounds", type=int, default=5, help="in turn; medians are printed")
    options = parser.parse_args()
    tokenizer = tokenizers.Tokenizer.from_file(str(options.tokenizer))
    for name, texts in texts_of(tokenizer).items():
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        rows = []
        for _ in range(options.rounds):
            mine, other = ours(options.tokenizer, texts), theirs(tokenizer, texts)
            if mine[1:] != other[1:]:
                sys.exit(f"{name}: the two give other ids")
            rows.append((mine[0], other[0]))
        mine, other = (statistics.median(column) for column in zip(*rows))
        print(f"{name:12} {megabytes:.2f} MB  {megabytes / mine:6.1f} MB/s, Hugging Face {megabytes / other:5.1f} MB/s: "
              f"{statistics.median(b / a for a, b in rows):.2f} x")


if __name__ == "__main__":
    main()
