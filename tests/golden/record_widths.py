"""Records what Hugging Face transformers computes for one layer of QwQ-32B's widths with generated weights, for
true_widths_test.cc: python tests/golden/record_widths.py [NAME ...]. Needs torch and transformers (not part of .venv), 5 GB of
disk and 14 GB of memory.

As in record_models.py the reference is the fp32 run of the bf16 weights, and the error of transformers' own bf16 run the
measure for ours. Of each recorded position there are the logits of some ids, among them those beside the borders of 2 and 4
ranks, the largest ones, and two numbers that every logit is in: the mean, and the logarithm of the sum of exponentials.
Writes data/models/NAME.json, with the list of tensors that the weights are generated from.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers

import generated_models
from record_models import DATA, load, logits_of

LAYER = generated_models.QWQ_32B | {"num_hidden_layers": 1, "max_window_layers": 1}
MODELS = {"qwq-layer": LAYER,
          # An eighth of the vocabulary, for where the whole one takes too long.
          "qwq-layer-small": LAYER | {"vocab_size": LAYER["vocab_size"] // 8, "bos_token_id": 0, "eos_token_id": 1}}
PROMPT_TOKENS, CHOSEN, LARGEST = 40, 64, 20
POSITIONS = [0, 1, 15, 16, 29, 39]


def write_checkpoint(config, tensors, folder):
    """The sums of the tensors' bits."""
    (folder / "config.json").write_text(json.dumps(config))
    header, offset = {}, 0
    for tensor in tensors:
        size = 2 * int(np.prod(tensor.shape))
        header[tensor.name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % 8)
    sums = []
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            bits = generated_models.bits_of(tensor)
            sums.append(generated_models.sum_of(bits))
            bits.tofile(file)
    return sums


def prompt_of(vocabulary):
    places = generated_models.hash_bytes(7, 0, 3 * PROMPT_TOKENS).astype(np.int64).reshape(-1, 3)
    ids = (places @ [1, 256, 65536]) % vocabulary
    ids[[3, 20]] = [0, vocabulary - 1]
    return ids.tolist()


def ids_to_record(vocabulary):
    borders = {vocabulary * part // 4 + side for part in range(1, 4) for side in (-1, 0)}
    spread = np.linspace(0, vocabulary - 1, CHOSEN - len(borders)).astype(int).tolist()
    return sorted(borders | set(spread))


def row_of(position, logits):
    top = torch.topk(logits, LARGEST)
    ids = ids_to_record(len(logits))
    wide = logits.double()
    return {"position": position, "ids": ids, "logits": logits[ids].tolist(), "top_ids": top.indices.tolist(),
            "top_logits": top.values.tolist(), "mean": wide.mean().item(), "log_sum_exp": wide.logsumexp(0).item()}


def logits_in(dtype, folder, prompt):
    return logits_of(load(folder, dtype, None), prompt)[POSITIONS]


def record(name):
    config = MODELS[name]
    tensors = list(generated_models.tensors_of(config))
    prompt = prompt_of(config["vocab_size"])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sums = write_checkpoint(config, tensors, folder)
        expected = logits_in(torch.float32, folder, prompt)
        error = (logits_in(torch.bfloat16, folder, prompt).double() - expected.double()).numpy()
    recording = {"config": config, "prompt_ids": prompt,
                 "tensors": [{**tensor._asdict(), "sum": total} for tensor, total in zip(tensors, sums)],
                 "rows": [row_of(position, logits) for position, logits in zip(POSITIONS, expected)],
                 "bf16_rms_error": float(np.sqrt(np.mean(error**2))), "bf16_max_error": float(np.abs(error).max()),
                 "torch": torch.__version__, "transformers": transformers.__version__}
    (DATA / f"{name}.json").write_text(json.dumps(recording) + "\n")
    print(f"{name}: bf16 rms {recording['bf16_rms_error']:.2e} max {recording['bf16_max_error']:.2e}, logits' spread "
          f"{expected.std():.2f}", flush=True)


def main():
    for name in sys.argv[1:] or MODELS:
        record(name)


if __name__ == "__main__":
    main()
