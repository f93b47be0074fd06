"""Turns the tokenizer inside a GGUF into Hugging Face's tokenizer.json and tokenizer_config.json.

A GGUF keeps the vocabulary, the merges and the chat template, but of the pre-tokenizer only a name
(tokenizer.ggml.pre). The three names known here are those of the vocabularies that Quire is tested with; another one
is refused, since a wrong pre-tokenizer gives wrong ids silently.
"""

import json
import re

CONTROL, USER_DEFINED = 3, 4  # of tokenizer.ggml.token_type
PADDING = re.compile(r"\[PAD(\d+)\]")  # rows that converters invent where the embedding is longer than the vocabulary

GPT4_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
              r"|\s+(?!\S)|\s+")


class UnknownTokenizer(Exception):
    """This GGUF's tokenizer is none that the converter knows."""


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split_then_bytes(digits):
    split = {"type": "Split", "pattern": {"Regex": GPT4_WORDS % digits}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, byte_level(False)]}


def digits_then_bytes():
    digits = {"type": "Digits", "individual_digits": True}
    return {"type": "Sequence", "pretokenizers": [digits, byte_level(True)]}


# By tokenizer.ggml.pre.
PIPELINES = {
    "qwen2": {"normalizer": {"type": "NFC"}, "pre_tokenizer": split_then_bytes(r"\p{N}"), "ignore_merges": False},
    "llama-bpe": {"normalizer": None, "pre_tokenizer": split_then_bytes(r"\p{N}{1,3}"), "ignore_merges": True},
    "smollm": {"normalizer": None, "pre_tokenizer": digits_then_bytes(), "ignore_merges": False},
}


def contents(reader, key, default=None):
    return reader.fields[key].contents() if key in reader.fields else default


def pipeline_of(reader):
    model, pre = contents(reader, "tokenizer.ggml.model"), contents(reader, "tokenizer.ggml.pre")
    if model != "gpt2" or pre not in PIPELINES:
        raise UnknownTokenizer(f"tokenizer {model!r} with pre-tokenizer {pre!r} is not known; "
                               f"known are 'gpt2' with {', '.join(sorted(PIPELINES))}")
    return pre, PIPELINES[pre]


def added_tokens(tokens, types):
    added = []
    for index, (token, kind) in enumerate(zip(tokens, types)):
        if kind in (CONTROL, USER_DEFINED) and not PADDING.fullmatch(token):
            added.append({"id": index, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": kind == CONTROL})
    return added


def post_processor(reader, pre, tokens):
    # Llama 3 puts its BOS before a plain text; the other two put nothing.
    if pre != "llama-bpe":
        return byte_level(True)
    bos = contents(reader, "tokenizer.ggml.bos_token_id")
    special = {"SpecialToken": {"id": tokens[bos], "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    template = {"type": "TemplateProcessing", "single": [special, first], "pair": [special, first, special, second],
                "special_tokens": {tokens[bos]: {"id": tokens[bos], "ids": [bos], "tokens": [tokens[bos]]}}}
    return {"type": "Sequence", "processors": [byte_level(True), template]}


def tokenizer_json(reader):
    """The content of tokenizer.json, as a dict."""
    pre, pipeline = pipeline_of(reader)
    tokens = contents(reader, "tokenizer.ggml.tokens")
    added = added_tokens(tokens, contents(reader, "tokenizer.ggml.token_type"))
    merges = [merge.split(" ") for merge in contents(reader, "tokenizer.ggml.merges")]
    # SmolLM2's special tokens stand in its vocabulary too, those of the other two only among the added tokens.
    outside = {token["id"] for token in added} if pre != "smollm" else set()
    vocab = {token: index for index, token in enumerate(tokens)
             if index not in outside and not PADDING.fullmatch(token)}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": pipeline["normalizer"],
        "pre_tokenizer": pipeline["pre_tokenizer"],
        "post_processor": post_processor(reader, pre, tokens),
        "decoder": byte_level(True),
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "ignore_merges": pipeline["ignore_merges"], "vocab": vocab, "merges": merges},
    }


def tokenizer_config(reader):
    """The content of tokenizer_config.json, as a dict."""
    tokens = contents(reader, "tokenizer.ggml.tokens")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    for name, key in (("bos_token", "bos_token_id"), ("eos_token", "eos_token_id"), ("unk_token", "unknown_token_id"),
                      ("pad_token", "padding_token_id")):
        index = contents(reader, f"tokenizer.ggml.{key}")
        config[name] = None if index is None else tokens[index]
    template = contents(reader, "tokenizer.chat_template")
    if template is not None:
        config["chat_template"] = template
    return config


def write_tokenizer(reader, folder):
    """Writes both files into `folder` (a Path). `reader` is a gguf.GGUFReader."""
    for name, value in (("tokenizer.json", tokenizer_json(reader)),
                        ("tokenizer_config.json", tokenizer_config(reader))):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
