"""Writes a model with random weights and the demo model's text, for benches of shapes that it hasn't:
    .venv/bin/python tests/bench/write_model.py vocabulary|wide FOLDER
vocabulary: Qwen2.5-0.5B's shape; its 151,936 ids can all be sampled (the tokenizer is filled up). wide: a Llama, 16 layers of 2048."""
import argparse
import json
import pathlib
import shutil
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from system import DEMO_MODEL  # noqa: E402

SHAPES = {"vocabulary": dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_size=896, intermediate_size=4864,
                             num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, head_dim=64,
                             vocab_size=151936, rms_norm_eps=1e-6, rope_theta=1e6),
          "wide": dict(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
                       num_key_value_heads=8, head_dim=64)}


def tensors(config):
    """{name: shape}, embeddings tied."""
    hidden, ffn, dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    rows = {"q": config["num_attention_heads"] * dim, "k": config["num_key_value_heads"] * dim,
            "v": config["num_key_value_heads"] * dim}
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    for layer in range(config["num_hidden_layers"]):
        of = {"input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,),
              "self_attn.o_proj.weight": (hidden, rows["q"]), "mlp.gate_proj.weight": (ffn, hidden),
              "mlp.up_proj.weight": (ffn, hidden), "mlp.down_proj.weight": (hidden, ffn)}
        for part, count in rows.items():
            of[f"self_attn.{part}_proj.weight"] = (count, hidden)
            if config["model_type"] == "qwen2":
                of[f"self_attn.{part}_proj.bias"] = (count,)
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in of.items()}
    return shapes


def fill_up(tokenizer, ids):
    """Tokens that no text has, until there are so many ids."""
    vocabulary = tokenizer["model"]["vocab"]
    there = max([*vocabulary.values(), *(token["id"] for token in tokenizer["added_tokens"])]) + 1
    vocabulary |= {f"fill-{i}": i for i in range(there, ids)}
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    shutil.copytree(DEMO_MODEL, options.folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((DEMO_MODEL / "config.json").read_text()) | SHAPES[options.shape]
    (options.folder / "config.json").write_text(json.dumps(config))
    tokenizer = fill_up(json.loads((DEMO_MODEL / "tokenizer.json").read_text()), config["vocab_size"])
    (options.folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    entries, at = {}, 0
    for name, shape in tensors(config).items():
        size = 2 * int(numpy.prod(shape))
        entries[name] = dict(dtype="BF16", shape=shape, data_offsets=[at, at + size])
        at += size
    header, random = json.dumps(entries).encode(), numpy.random.default_rng(1)
    header += b" " * (-len(header) % 8)
    with open(options.folder / "model.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name, entry in entries.items():
            shape = entry["shape"]
            values = numpy.ones(shape, numpy.float32) if "norm" in name else random.standard_normal(shape, numpy.float32) * 0.02
            file.write((values.view(numpy.uint32) >> 16).astype(numpy.uint16).tobytes())


if __name__ == "__main__":
    main()
