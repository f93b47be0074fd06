"""Checkpoints that nobody stores: every value of a tensor is a function of the tensor's name and the value's place, so that a
model of any size is made where it is needed, the same bytes each time. generated_checkpoint.cc makes the same bits from a
recording's list of tensors.

A value is an integer times a power of two, so that bf16 holds it exactly and no rounding can differ: of a matrix or a bias
(2u - 255) / 2^exponent, of a norm (96 + u / 4) / 128, with u a byte of a hash.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import fetch_demo_model  # noqa: E402  (needs scripts/ on the path)
import tiny_models  # noqa: E402

CHUNK = 1 << 22  # values; what a chunk needs stays in the caches


class Tensor(NamedTuple):
    name: str
    shape: tuple
    exponent: int | None = None  # None: a norm


def seed_of(name):
    """FNV-1a of 32 bits."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = (seed ^ byte) * 0x01000193 & 0xFFFFFFFF
    return seed


def hash_bytes(seed, first, count):
    """The top byte of a 32-bit hash of each place from `first` on."""
    x = np.arange(first, first + count, dtype=np.uint32)
    x *= np.uint32(0x9E3779B1)
    x += np.uint32(seed)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return (x >> np.uint32(24)).astype(np.uint8)


def values_of(exponent):
    """The bf16 bits of each byte's value."""
    u = np.arange(256, dtype=np.float32)
    values = (96 + u // 4) / 128 if exponent is None else (2 * u - 255) / np.float32(2.0**exponent)
    bits = fetch_demo_model.to_bf16(values)
    assert ((bits.astype(np.uint32) << 16).view(np.float32) == values).all(), "bf16 holds it exactly"
    return bits


def bits_of(tensor):
    table, seed, count = values_of(tensor.exponent), seed_of(tensor.name), int(np.prod(tensor.shape))
    out = np.empty(count, np.uint16)
    for first in range(0, count, CHUNK):
        part = hash_bytes(seed, first, min(CHUNK, count - first))
        out[first:first + len(part)] = table[part]
    return out.reshape(tensor.shape)


def sum_of(bits):
    """By which the two generators are compared: each value's bits times its place from 1, modulo 2^64."""
    flat, total = bits.reshape(-1), 0
    for first in range(0, len(flat), CHUNK):
        part = flat[first:first + CHUNK].astype(np.uint64)
        total += int((part * np.arange(first + 1, first + 1 + len(part), dtype=np.uint64)).sum())
    return total % 2**64


# How much a matrix adds to the size of what it is given, for tensors_of: any that is not named has 1.
GAINS = {"q_proj": 1.5, "k_proj": 1.5, "v_proj": 1.5, "lm_head": 3.0}
EMBEDDING_EXPONENT, BIAS_EXPONENT = 8, 9  # spreads of 0.6 and 0.3


def tensors_of(config, gains=None):
    """The tensors of a Qwen2 model."""
    gains = GAINS | (gains or {})
    hidden, ffn, vocab = (config[key] for key in ("hidden_size", "intermediate_size", "vocab_size"))
    head = config.get("head_dim", hidden // config["num_attention_heads"])
    q, kv = config["num_attention_heads"] * head, config["num_key_value_heads"] * head

    def matrix(name, rows, cols):
        spread = 255 / np.sqrt(3) * np.sqrt(cols)  # of a sum over a row, at exponent 0
        return Tensor(f"{name}.weight", (rows, cols), int(np.round(np.log2(spread / gains.get(name.split(".")[-1], 1.0)))))

    yield Tensor("model.embed_tokens.weight", (vocab, hidden), EMBEDDING_EXPONENT)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        yield Tensor(prefix + "input_layernorm.weight", (hidden,))
        for name, rows in (("q_proj", q), ("k_proj", kv), ("v_proj", kv)):
            yield matrix(f"{prefix}self_attn.{name}", rows, hidden)
            yield Tensor(f"{prefix}self_attn.{name}.bias", (rows,), BIAS_EXPONENT)
        yield matrix(prefix + "self_attn.o_proj", hidden, q)
        yield Tensor(prefix + "post_attention_layernorm.weight", (hidden,))
        yield matrix(prefix + "mlp.gate_proj", ffn, hidden)
        yield matrix(prefix + "mlp.up_proj", ffn, hidden)
        yield matrix(prefix + "mlp.down_proj", hidden, ffn)
    yield Tensor("model.norm.weight", (hidden,))
    yield matrix("lm_head", vocab, hidden)


QWEN2 = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "torch_dtype": "bfloat16",
         "tie_word_embeddings": False, "use_sliding_window": False}
# The one that QwQ-32B is published with.
QWQ_32B = QWEN2 | {"attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645, "hidden_size": 5120,
                   "initializer_range": 0.02, "intermediate_size": 27648, "max_position_embeddings": 40960,
                   "max_window_layers": 64, "num_attention_heads": 40, "num_hidden_layers": 64, "num_key_value_heads": 8,
                   "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": 32768, "use_cache": True,
                   "vocab_size": 152064}
TINY = QWEN2 | {"vocab_size": 304, "num_hidden_layers": 2, "hidden_size": 64, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
                "max_position_embeddings": 32768, "head_dim": 16,
                "eos_token_id": tiny_models.tokens().index("<|im_end|>"),
                "bos_token_id": tiny_models.tokens().index("<|im_start|>")}
# Eight leaves, which 1, 2, 4 and 8 ranks share out.
TINY_EIGHT = TINY | {"num_attention_heads": 16, "num_key_value_heads": 8, "intermediate_size": 256}
# Of sizes that a GPU has kernels for.
TINY_GPU = TINY | {"hidden_size": 128, "head_dim": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
                   "intermediate_size": 160}
# For a context of 131,072 tokens with --rope-scaling yarn:4:32768. Its heads look at few of them each, wherever those are:
# an average over all would hide what a wrong position does.
TINY_YARN = TINY | {"num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 128}
YARN_GAINS = {"q_proj": 2.4, "k_proj": 2.4}


def write_tiny(config, folder: Path, gains=None):
    """A folder that can be served."""
    folder.mkdir(parents=True, exist_ok=True)
    fetch_demo_model.write_json(folder / "config.json", config)
    fetch_demo_model.write_safetensors(folder / "model.safetensors",
                                       [(tensor.name, bits_of(tensor)) for tensor in tensors_of(config, gains)])
    fetch_demo_model.write_json(folder / "generation_config.json", {"eos_token_id": config["eos_token_id"]})
    (folder / "tokenizer.json").write_text(json.dumps(tiny_models.tokenizer_json()), encoding="utf-8")
    fetch_demo_model.write_json(folder / "tokenizer_config.json",
                                {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False,
                                 "eos_token": "<|im_end|>", "chat_template": tiny_models.CHAT_TEMPLATE})
    return folder
