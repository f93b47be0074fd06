"""A Llama's folder (bf16, tied embeddings) as GGUF in Q8_0 without a vocabulary, for llama-bench to run the same weights:
    .venv/bin/python tests/bench/write_gguf.py MODEL_DIR OUT.gguf"""
import json
import pathlib
import sys

import gguf
import numpy

LAYER = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
         "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}


class Weights:
    def __init__(self, file):
        size = int.from_bytes(file.read(8), "little")
        self.file, self.entries, self.base = file, json.loads(file.read(size)), 8 + size

    def __getitem__(self, name):
        begin, end = self.entries[name]["data_offsets"]
        self.file.seek(self.base + begin)
        bits = numpy.frombuffer(self.file.read(end - begin), dtype=numpy.uint16).astype(numpy.uint32) << 16
        return bits.view(numpy.float32).reshape(self.entries[name]["shape"])


def interleaved(weight, heads):
    """llama.cpp rotates neighbours, Hugging Face's layout halves."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def describe(writer, config):
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)


def put(writer, name, weight):
    if weight.ndim == 1:
        writer.add_tensor(name, numpy.ascontiguousarray(weight))
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quants.quantize(numpy.ascontiguousarray(weight), kind), raw_dtype=kind)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    config = json.loads((folder / "config.json").read_text())
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    writer = gguf.GGUFWriter(sys.argv[2], "llama")
    describe(writer, config)
    with open(folder / "model.safetensors", "rb") as file:
        weights = Weights(file)
        put(writer, "token_embd.weight", weights["model.embed_tokens.weight"])
        put(writer, "output_norm.weight", weights["model.norm.weight"])
        for layer in range(config["num_hidden_layers"]):
            for to, name in LAYER.items():
                weight = weights[f"model.layers.{layer}.{name}.weight"]
                put(writer, f"blk.{layer}.{to}.weight", interleaved(weight, heads[to]) if to in heads else weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
