"""Writes tokenizer files of the shape that published ones have, and records what the tokenizers library makes of them.

    .venv/bin/python tests/golden/record_shapes.py

A shape is what Qwen2.5, QwQ and Llama 3 publish around their vocabularies: normalizer, pre-tokenizer, post-processor and
the whole list of added tokens with their flags. The vocabulary itself is small and trained here, on the corpus of
record_tokenizers.py. Writes shapes/NAME.json (a tokenizer.json) and shapes/NAME_tokens.json into tests/golden/data/text: for
each text its ids as the template's ("template") and, where they differ, as a user's ("user": by a copy without added
tokens), and what the post-processor puts in front.
"""

import json

import tokenizers
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from record_tokenizers import DATA, SENTENCES, SPECIAL, write

WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN_WORDS, LLAMA_WORDS = WORDS % r"\p{N}", WORDS % r"\p{N}{1,3}"

QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
                "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
                "<|image_pad|>", "<|video_pad|>"]
QWEN_PLAIN = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
              "<|repo_name|>", "<|file_sep|>"]
QWQ_PLAIN = [*QWEN_PLAIN, "<tool_response>", "</tool_response>", "<think>", "</think>"]
LLAMA_NAMED = {0: "<|begin_of_text|>", 1: "<|end_of_text|>", 4: "<|finetune_right_pad_id|>", 6: "<|start_header_id|>",
               7: "<|end_header_id|>", 8: "<|eom_id|>", 9: "<|eot_id|>", 10: "<|python_tag|>"}


def llama_special():
    """256 tokens; the reserved ones are counted through, past those that have a name."""
    reserved = iter(range(256))
    return [LLAMA_NAMED.get(i) or f"<|reserved_special_token_{next(reserved)}|>" for i in range(256)]


def trained(words):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(words), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=700, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator([line.replace("\\n", "\n") for line in SENTENCES] * 3, trainer)
    return json.loads(tokenizer.to_str())["model"]


def added(tokens, special, first):
    return [{"id": first + i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": special} for i, content in enumerate(tokens)]


def byte_level(trim_offsets):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": trim_offsets, "use_regex": False}


def split(words):
    return {"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": False}


def qwen(plain):
    model = trained(QWEN_WORDS)
    model["merges"] = [" ".join(pair) for pair in model["merges"]]  # as older files write them
    first = len(model["vocab"])
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": added(QWEN_SPECIAL, True, first) + added(plain, False, first + len(QWEN_SPECIAL)),
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split(QWEN_WORDS), byte_level(False)]},
            "post_processor": byte_level(False), "decoder": byte_level(False),
            "model": {**model, "continuing_subword_prefix": "", "end_of_word_suffix": ""}}


def llama():
    model = trained(LLAMA_WORDS)
    first = len(model["vocab"])
    bos = LLAMA_NAMED[0]
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                         {"SpecialToken": {"id": bos, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {bos: {"id": bos, "ids": [first], "tokens": [bos]}}}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added(llama_special(), True, first),
            "normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split(LLAMA_WORDS), byte_level(True)]},
            "post_processor": {"type": "Sequence", "processors": [byte_level(False), template]}, "decoder": byte_level(True),
            "model": {**model, "ignore_merges": True}}


def texts(shape):
    """The corpus' sentences, and each added token alone, in text, doubled, and cut short."""
    yield from (line.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r") for line in SENTENCES)
    yield from SPECIAL
    contents = [token["content"] for token in shape["added_tokens"]]
    for content in contents if len(contents) < 40 else [*contents[:12], contents[-1]]:
        yield from (content, f"a {content}\nb", content + content, content[:-1], f" {content[:3]}{content}")


def record(shape):
    tokenizer = Tokenizer.from_str(json.dumps(shape))
    plain = Tokenizer.from_str(json.dumps({**shape, "added_tokens": [], "post_processor": None}))
    for token in shape["added_tokens"]:
        assert tokenizer.token_to_id(token["content"]) == token["id"], token
    encodings = []
    for text in texts(shape):
        template, user = (t.encode(text, add_special_tokens=False).ids for t in (tokenizer, plain))
        encodings.append({"text": text, "template": template} | ({} if user == template else {"user": user}))
    return {"library": f"tokenizers {tokenizers.__version__}", "prefix": tokenizer.encode("").ids, "encodings": encodings}


def main():
    (DATA / "shapes").mkdir(parents=True, exist_ok=True)
    for name, shape in {"qwen2.5": qwen(QWEN_PLAIN), "qwq": qwen(QWQ_PLAIN), "llama3": llama()}.items():
        write(DATA / "shapes" / f"{name}.json", shape)
        write(DATA / "shapes" / f"{name}_tokens.json", record(shape))


if __name__ == "__main__":
    main()
