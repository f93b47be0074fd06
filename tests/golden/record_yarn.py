"""Records what transformers answers a chat of 131,000 tokens with YaRN, for tests/e2e/test_long_context.py:
python tests/golden/record_yarn.py. Run by hand (some minutes) when tiny_yarn or long_prompt changes; needs what
record_models.py needs.

The reference is the fp32 run of the bf16 weights, its prompt taken in chunks, each over the keys and values of those before
it. Its first `sure` tokens are ahead of all others by more than bf16 may be wrong, and are others without the scaling.
Writes data/models/tiny-yarn-131k.json.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
import transformers

import generated_models
import long_prompt
from record_models import DATA, load

TOKENS, CHUNK, SURE_MARGIN = 24, 512, 0.1
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


def answer(model, prompt):
    """Greedy tokens and their top-2 margins."""
    cache, ids, margins = transformers.DynamicCache(), [], []
    with torch.no_grad():
        for first in range(0, len(prompt), CHUNK):
            part = torch.tensor([prompt[first:first + CHUNK]])
            logits = model(part, past_key_values=cache, logits_to_keep=1).logits[0, -1]
            print(f"\r{first + part.shape[1]} of {len(prompt)} tokens", end="", file=sys.stderr)
        while len(ids) < TOKENS:
            top = torch.topk(logits[:len(generated_models.tiny_models.tokens())], 2)
            margins.append(float(top.values[0] - top.values[1]))
            ids.append(int(top.indices[0]))
            logits = model(torch.tensor([ids[-1:]]), past_key_values=cache).logits[0, -1]
    return ids, margins


def main():
    prompt = long_prompt.chat_ids(long_prompt.text(long_prompt.WORDS))
    with tempfile.TemporaryDirectory() as folder:
        model = generated_models.write_tiny(generated_models.TINY_YARN, Path(folder) / "tiny-yarn", generated_models.YARN_GAINS)
        ids, margins = answer(load(model, torch.float32, YARN), prompt)
        plain, _ = answer(load(model, torch.float32, None), prompt)
    sure = next((i for i, margin in enumerate(margins) if margin < SURE_MARGIN), TOKENS)
    assert plain[:sure] != ids[:sure], "the answer says nothing of the scaling"
    (DATA / "tiny-yarn-131k.json").write_text(json.dumps({
        "prompt_tokens": len(prompt), "greedy_ids": ids, "margins": margins, "sure": sure, "torch": torch.__version__,
        "transformers": transformers.__version__}) + "\n")
    print(f"\n{len(prompt)} tokens, {sure} sure: {ids}")


if __name__ == "__main__":
    main()
