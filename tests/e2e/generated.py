"""Models that tests make for themselves, as folders that can be served: those of tests/golden/generated_models.py, and a tiny
one whose answers are as long as a test needs."""
import json
import shutil
import sys

from system import ROOT, TINY_MODEL

sys.path.insert(0, str(ROOT / "tests/golden"))
import generated_models  # noqa: E402  (needs tests/golden on the path)
import long_prompt  # noqa: E402

DATA = ROOT / "tests/golden/data/models"


def tiny_eight(folder):
    return generated_models.write_tiny(generated_models.TINY_EIGHT, folder / "tiny-eight")


def tiny_gpu(folder):
    return generated_models.write_tiny(generated_models.TINY_GPU, folder / "tiny-gpu")


def tiny_yarn(folder):
    return generated_models.write_tiny(generated_models.TINY_YARN, folder / "tiny-yarn", generated_models.YARN_GAINS)


def tiny_qwq(folder, context=8192):
    """The tiny model with QwQ's template, its tags as added tokens, and room for prompts with tools."""
    model = folder / "tiny-qwq"
    shutil.copytree(TINY_MODEL, model)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    last = max(token["id"] for token in tokenizer["added_tokens"])
    for literal in ("<think>", "</think>", "<tool_call>", "</tool_call>"):
        last += 1
        tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": last, "content": literal, "special": False})
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    template = (ROOT / "build/testdata/text/templates/qwq.jinja").read_text()
    words = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**words, "chat_template": template}))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": context}))
    return model


def tiny_long(folder, tokens):
    """The tiny model with room for prompts of a few hundred tokens and an answer of so many: it is still under way when a test
    cuts it, however fast the machine is."""
    model = folder / "tiny-long"
    shutil.copytree(TINY_MODEL, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": tokens + 1000}))
    return model
