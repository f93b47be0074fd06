"""What logprobs, a JSON schema and tools cost a client, beside a plain chat: the first chunk and a token, of one stream and of 32:
    .venv/bin/python tests/bench/bench_features.py [--model DIR] [--rounds 5]
The rounds take turns; a figure is the median of its rounds, and its ratio the median of the ratios to the plain one of the same round. A
model whose template has no tools (as the demo's) is served with Qwen2.5's. A schema is compiled once: the first request that brings it
stands by itself. A call's first chunk is its name, after the markup before it."""
import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from system import BIN, DEMO_MODEL, ROOT, System  # noqa: E402

ROWS = {"type": "array", "minItems": 128, "items": {"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 40}, "count": {"type": "integer"}, "kind": {"enum": ["red", "green", "blue"]}},
    "required": ["name", "count", "kind"], "additionalProperties": False}}
TOOL = {"type": "function", "function": {"name": "store_rows", "description": "Stores rows.", "parameters": {
    "type": "object", "properties": {"rows": ROWS}, "required": ["rows"], "additionalProperties": False}}}
FEATURES = {
    "plain": {},
    "logprobs": {"logprobs": True, "top_logprobs": 5},
    "schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "rows", "schema": ROWS}}},
    "tools, free": {"tools": [TOOL]},
    "tools, required": {"tools": [TOOL], "tool_choice": "required"}}


def with_tools(model, folder):
    """The model, with a template that has tools."""
    if "tools" in json.loads((model / "tokenizer_config.json").read_text()).get("chat_template", ""):
        return model
    served = pathlib.Path(folder) / model.name
    served.mkdir()
    for file in model.iterdir():
        (served / file.name).symlink_to(file.resolve())
    words = json.loads((model / "tokenizer_config.json").read_text())
    words["chat_template"] = (ROOT / "build/testdata/text/templates/qwen2.5.jinja").read_text()
    (served / "tokenizer_config.json").unlink()
    (served / "tokenizer_config.json").write_text(json.dumps(words))
    return served


def measure(system, body, streams, tokens=64):
    run = subprocess.run([BIN / "quire-bench-sse", f"--url-port={system.url.rsplit(':', 1)[1].split('/')[0]}", f"--key={system.api_key}",
                          f"--model={system.model}", f"--streams={streams}", f"--requests={streams}", f"--tokens={tokens}",
                          f"--with={json.dumps(body)}"], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    return {"first": found["ttfb_p50_ms"], "token": (found["seconds"] * 1000 - found["ttfb_p50_ms"]) * streams / max(found["tokens"], 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=DEMO_MODEL, help="folder (default: the demo model)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved; medians are printed")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        system = stack.enter_context(System(with_tools(options.model, stack.enter_context(tempfile.TemporaryDirectory()))))
        for name, body in FEATURES.items():
            found = measure(system, body, 1, tokens=1)
            print(f"{name:16} its first request: first chunk after {found['first']:.0f} ms")
        for streams in (1, 32):
            rounds = [{name: measure(system, body, streams) for name, body in FEATURES.items()} for _ in range(options.rounds)]
            for name in FEATURES:
                print(f"{streams:2} x {name:16}" + "".join(
                    f"  {what} {statistics.median(row[name][what] for row in rounds):7.2f} ms "
                    f"({statistics.median(row[name][what] / row['plain'][what] for row in rounds):.2f} x plain)" for what in ("first", "token")))


if __name__ == "__main__":
    main()
