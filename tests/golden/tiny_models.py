"""Writes the tiny random checkpoints that tests serve: whole Hugging Face folders of a few hundred KB, the same bytes on
every run. Their text is noise; what matters is that every part of the real architectures is in them: biases, grouped
queries, tied and untied embeddings, shards, a vocabulary longer than the tokenizer, sizes that divide unevenly.
"""

import json
from pathlib import Path

import numpy as np

import fetch_demo_model
import gguf_tokenizer

MERGES = ["Ġ t", "h e", "Ġ a", "i n", "r e", "o n", "Ġt he", "e r", "a t", "o u", "Ġ s", "e n", "Ġ w", "i t", "o r",
          "i s", "Ġ o", "a n", "Ġo f", "e d", "in g", "Ġ b", "Ġ c", "a l", "Ġa n", "Ġan d", "Ġ m", "Ġ p", "l l", "u s",
          "e r", "e s"]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
                 "'<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")

LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 256}
COMMON = {"hidden_act": "silu", "torch_dtype": "bfloat16", "vocab_size": 304, "num_key_value_heads": 3}
CONFIGS = {
    # GQA 5:1.
    "tiny-qwen2": {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 64, "head_dim": 16,
                   "num_attention_heads": 15, "num_hidden_layers": 2, "intermediate_size": 96, "rms_norm_eps": 1e-6,
                   "rope_theta": 10000.0, "max_position_embeddings": 1024, "tie_word_embeddings": False,
                   "sliding_window": 512, "use_sliding_window": False, "max_window_layers": 2},
    "tiny-llama-tied": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 72, "head_dim": 20,
                        "num_attention_heads": 9, "num_hidden_layers": 3, "intermediate_size": 100,
                        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None,
                        "max_position_embeddings": 2048, "tie_word_embeddings": True},
    "tiny-llama-untied": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 66,
                          "head_dim": 32, "num_attention_heads": 6, "num_hidden_layers": 2, "intermediate_size": 128,
                          "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "rope_scaling": LLAMA3_ROPE,
                          "max_position_embeddings": 2048, "tie_word_embeddings": False},
    # Heads wider than the hidden size over their number.
    "tiny-qwen3": {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 64, "head_dim": 26,
                   "num_attention_heads": 6, "num_hidden_layers": 3, "intermediate_size": 100, "rms_norm_eps": 1e-6,
                   "attention_bias": False, "rope_theta": 1000000.0, "rope_scaling": None,
                   "max_position_embeddings": 1024, "tie_word_embeddings": False, "sliding_window": None,
                   "use_sliding_window": False, "max_window_layers": 3},
}


def byte_symbols():
    """GPT-2's printable character for each byte, in byte order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + hidden.index(byte)) for byte in range(256)]


def tokens():
    merged = dict.fromkeys(merge.replace(" ", "") for merge in MERGES)
    return [*byte_symbols(), *merged, *SPECIALS]


def tokenizer_json():
    ids = {token: index for index, token in enumerate(tokens())}
    added = [{"id": ids[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for token in SPECIALS]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "NFC"}, "pre_tokenizer": gguf_tokenizer.split_then_bytes(r"\p{N}"),
        "post_processor": gguf_tokenizer.byte_level(False), "decoder": gguf_tokenizer.byte_level(False),
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: index for token, index in ids.items() if token not in SPECIALS},
                  "merges": [merge.split(" ") for merge in dict.fromkeys(MERGES)]},
    }


def weights(config, random):
    """Yields (name, bf16 bits). Scaled so that every layer matters and logits spread over a few units."""
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    q, kv = (config[key] * config["head_dim"] for key in ("num_attention_heads", "num_key_value_heads"))

    def matrix(rows, cols, gain=1.0):
        return fetch_demo_model.to_bf16(random.standard_normal((rows, cols)) * gain / np.sqrt(cols))

    def vector(size, mean, deviation):
        return fetch_demo_model.to_bf16(mean + deviation * random.standard_normal(size))

    yield "model.embed_tokens.weight", matrix(config["vocab_size"], hidden, gain=3.0)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", vector(hidden, 1.0, 0.2)
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            yield f"{prefix}self_attn.{name}_proj.weight", matrix(rows, hidden, gain=1.5)
            if config["model_type"] == "qwen2":
                yield f"{prefix}self_attn.{name}_proj.bias", vector(rows, 0.0, 0.5)
        if config["model_type"] == "qwen3":
            yield prefix + "self_attn.q_norm.weight", vector(config["head_dim"], 1.2, 0.4)
            yield prefix + "self_attn.k_norm.weight", vector(config["head_dim"], 1.2, 0.4)
        yield prefix + "self_attn.o_proj.weight", matrix(hidden, q)
        yield prefix + "post_attention_layernorm.weight", vector(hidden, 1.0, 0.2)
        yield prefix + "mlp.gate_proj.weight", matrix(ffn, hidden)
        yield prefix + "mlp.up_proj.weight", matrix(ffn, hidden)
        yield prefix + "mlp.down_proj.weight", matrix(hidden, ffn)
    yield "model.norm.weight", vector(hidden, 1.0, 0.2)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", matrix(config["vocab_size"], hidden, gain=3.0)


def write_shards(folder, tensors):
    """Two shards and their index, as large checkpoints have."""
    half = len(tensors) // 2
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    shards = dict(zip(names, (tensors[:half], tensors[half:])))
    for name, shard in shards.items():
        fetch_demo_model.write_safetensors(folder / name, shard)
    weight_map = {tensor: name for name, shard in shards.items() for tensor, _ in shard}
    total = sum(bits.nbytes for _, bits in tensors)
    fetch_demo_model.write_json(folder / "model.safetensors.index.json",
                                {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_model(name, folder: Path):
    config = COMMON | CONFIGS[name]
    end = tokens().index("<|im_end|>")
    config |= {"eos_token_id": end, "bos_token_id": tokens().index("<|im_start|>")}
    folder.mkdir(parents=True, exist_ok=True)
    tensors = list(weights(config, np.random.Generator(np.random.PCG64(sorted(CONFIGS).index(name)))))
    if name == "tiny-llama-untied":
        write_shards(folder, tensors)
    else:
        fetch_demo_model.write_safetensors(folder / "model.safetensors", tensors)
    fetch_demo_model.write_json(folder / "config.json", config)
    fetch_demo_model.write_json(folder / "generation_config.json",
                                {"eos_token_id": [end, tokens().index("<|endoftext|>")], "do_sample": True,
                                 "temperature": 0.7, "top_p": 0.8})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(), ensure_ascii=False) + "\n", encoding="utf-8")
    fetch_demo_model.write_json(folder / "tokenizer_config.json",
                                {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False,
                                 "eos_token": "<|im_end|>", "chat_template": CHAT_TEMPLATE})
