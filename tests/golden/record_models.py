"""Records what Hugging Face transformers computes, for model_golden_test.cc: python tests/golden/record_models.py
[--only NAME] [--smollm2 FOLDER]. Run by hand when a recording has to change; needs torch and transformers (not part of
.venv).

The reference is the fp32 run of the bf16 weights. Beside its logits stands the error of transformers' own bf16 run, the
measure for ours. Writes data/models/: the tiny checkpoints, NAME.json and NAME.f32 (the reference's logits, raw).
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))
import tiny_models  # noqa: E402  (needs scripts/ on the path)

DATA = HERE / "data" / "models"
GREEDY_TOKENS = 32
PROMPT = ("Summarize this for a child. The quire was the unit of the medieval book: a few sheets of parchment, folded "
          "once and sewn through the fold. A scribe ruled the lines, copied the text, and left room for the capitals "
          "that another hand would paint in blue, red and gold. Then 12, 20 or more such quires were bound between "
          "boards of oak. Why did it matter? Because sheets could be copied in parallel by many hands, and a mistake "
          "cost one quire, not the whole book.")


def load(folder, dtype, rope):
    config = transformers.AutoConfig.from_pretrained(folder)
    if rope:
        config.rope_parameters = {"rope_theta": config.rope_parameters["rope_theta"], **rope}
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=dtype,
                                                              attn_implementation="eager")
    return model.eval()


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float()


def greedy(model, prompt, vocabulary):
    """Tokens and their top-2 margins, over ids below `vocabulary`."""
    ids, margins = list(prompt), []
    for _ in range(GREEDY_TOKENS):
        top = torch.topk(logits_of(model, ids)[-1, :vocabulary], 2)
        margins.append(float(top.values[0] - top.values[1]))
        ids.append(int(top.indices[0]))
    return ids[len(prompt):], margins


def record(name, folder, prompt, vocabulary, rope_flag="", rope=None, vocab_stride=1):
    reference = load(folder, torch.float32, rope)
    tokens, margins = greedy(reference, prompt, vocabulary)
    ids = prompt + tokens[:-1]
    # Prompt positions thinned out, every decoded one of the first half.
    rows = [*range(0, len(prompt) - 1, max(1, len(prompt) // 12)), *range(len(prompt) - 1, len(ids) - 16)]
    expected = logits_of(reference, ids)[rows][:, ::vocab_stride].numpy()
    rounded = logits_of(load(folder, torch.bfloat16, rope), ids)[rows][:, ::vocab_stride].numpy()
    error = rounded.astype(np.float64) - expected
    expected.astype("<f4").tofile(DATA / f"{name}.f32")
    (DATA / f"{name}.json").write_text(json.dumps({
        "model": folder.name if folder.is_relative_to(DATA) else "", "rope_scaling": rope_flag,
        "tokenizer_size": vocabulary, "vocab_stride": vocab_stride, "prompt_ids": prompt, "greedy_ids": tokens,
        "margins": margins, "logit_rows": rows, "bf16_rms_error": float(np.sqrt(np.mean(error**2))),
        "bf16_max_error": float(np.abs(error).max()), "torch": torch.__version__,
        "transformers": transformers.__version__}) + "\n")
    print(f"{name}: bf16 rms {np.sqrt(np.mean(error**2)):.2e} max {np.abs(error).max():.2e}, logits' spread "
          f"{expected.std():.2f}, smallest margin {min(margins):.1e}", flush=True)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
# Recording: model, prompt tokens, RoPE. One that is new comes last: the prompts of the others stay what they are.
TINY = {"tiny-qwen2": ("tiny-qwen2", 75, {}), "tiny-llama-tied": ("tiny-llama-tied", 75, {}),
        "tiny-llama-untied": ("tiny-llama-untied", 75, {}),
        # Well past the original 64 positions.
        "tiny-qwen2-yarn": ("tiny-qwen2", 170, {"rope_flag": "yarn:4:64", "rope": YARN}),
        "tiny-qwen3": ("tiny-qwen3", 75, {})}


def record_tiny(only):
    size = len(tiny_models.tokens())
    random = np.random.Generator(np.random.PCG64(7))
    for name, (model, prompt_tokens, rope) in TINY.items():
        prompt = random.integers(0, size, prompt_tokens).tolist()
        if only in (None, name):
            tiny_models.write_model(model, DATA / model)
            record(name, DATA / model, prompt, size, **rope)


def record_smollm2(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": PROMPT}], add_generation_prompt=True,
                                           return_dict=False)
    record("smollm2", folder, list(prompt), len(tokenizer), vocab_stride=24)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=TINY, help="the one tiny recording to write (default: all)")
    parser.add_argument("--smollm2", type=Path, help="folder made by scripts/fetch-demo-model")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    record_tiny(arguments.only)
    if arguments.smollm2:
        record_smollm2(arguments.smollm2.resolve())


if __name__ == "__main__":
    main()
