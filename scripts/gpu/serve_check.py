"""Chats through `quire serve` on the GPU, and on the CPU beside it, by a tiny model: python3 scripts/gpu/serve_check.py MODEL
The programs lie in $QUIRE_BIN. Prints a line of JSON for each check; exits with 1 where one fails."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/e2e"))
from system import System  # noqa: E402

PROMPTS = ["Hello there", "What is a lighthouse for, and who keeps it? " * 4]


def answers(model, backend):
    """(numerics_id, greedy answers, a seeded one twice)"""
    with System(model, backend=backend, tensor_parallel=1, kv_blocks=256) as system:
        asked = [system.chat(prompt, max_tokens=24, temperature=0, ignore_eos=True) for prompt in PROMPTS]
        asked += [system.chat(PROMPTS[0], max_tokens=24, seed=7, top_p=0.9, ignore_eos=True) for _ in range(2)]
        assert all(status == 200 for status, _ in asked), asked
        return system.groups()[0]["numerics_id"], [answer["choices"][0]["message"]["content"] for _, answer in asked]


def main():
    (on_gpu, got), (on_cpu, want) = answers(sys.argv[1], "cuda"), answers(sys.argv[1], "cpu")
    checks = {"the GPU served": "cuda" in on_gpu and "cuda" not in on_cpu, "greedy answers are the CPU's": got[:2] == want[:2],
              "a seed answers twice alike": got[2] == got[3]}
    for name, ok in checks.items():
        print(json.dumps({"check": name, "ok": ok, "numerics_id": on_gpu}))
    sys.exit(0 if all(checks.values()) else 1)


if __name__ == "__main__":
    main()
