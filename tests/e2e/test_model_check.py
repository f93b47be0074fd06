"""`quire-worker --check` and `quire-gateway --check` refuse, before a byte of weights is read, what loading would refuse,
and say which tensor, file and line."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess

import pytest

from system import BIN, TINY_MODEL, until

TINY_QWEN3 = TINY_MODEL.parent / "tiny-qwen3"

pytestmark = pytest.mark.tiny


def check(model, *flags):
    return subprocess.run([BIN / "quire-worker", "--check", "--model", model, *flags], capture_output=True, text=True, timeout=300)


def rewrite(model, edit):
    """Changes the header of model.safetensors; the tensors' bytes stay."""
    path = model / "model.safetensors"
    content = path.read_bytes()
    [size] = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + size])
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size:])


@pytest.fixture
def model(tmp_path):
    shutil.copytree(TINY_MODEL, tmp_path / "model")
    return tmp_path / "model"


NAMES = ["model.embed_tokens.weight", "model.layers.0.input_layernorm.weight", "model.layers.0.self_attn.q_proj.weight",
         "model.layers.1.self_attn.k_proj.bias", "model.layers.1.mlp.up_proj.weight", "model.norm.weight",
         "lm_head.weight"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["missing", "misshapen", "another type"])
def test_says_which_tensor(model, name, damage):
    def edit(header):
        if damage == "missing":
            header["somewhere.else"] = header.pop(name)
        elif damage == "misshapen":
            header[name]["shape"] = [1, *header[name]["shape"]]
        else:
            header[name]["dtype"] = "I16"
    rewrite(model, edit)
    ended = check(model)
    assert ended.returncode == 1 and name in ended.stderr, ended.stderr + ended.stdout


def test_a_tensor_that_would_be_ignored(model):
    def edit(header):
        header["model.layers.0.self_attn.q_norm.weight"] = header.pop("model.norm.weight")
    rewrite(model, edit)
    assert check(model).returncode == 1


def test_qwen3s_head_norms_are_asked_for(tmp_path):
    model = tmp_path / "model"
    shutil.copytree(TINY_QWEN3, model)
    assert check(model).returncode == 0 and check(model, "--rank=2", "--ranks=3").returncode == 0
    name = "model.layers.2.self_attn.k_norm.weight"
    rewrite(model, lambda header: header.update({"somewhere.else": header.pop(name)}))
    ended = check(model)
    assert ended.returncode == 1 and name in ended.stderr, ended.stderr


@pytest.mark.parametrize("field, value, said", [("head_dim", 300, "head_dim is 300; at most 256"),
                                                ("max_position_embeddings", 3_000_000, "3000000 tokens is too long")])
def test_says_which_number_is_too_large(model, field, value, said):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, field: value}))
    ended = check(model)
    assert ended.returncode == 1 and said in ended.stderr, ended.stderr


@pytest.mark.parametrize("file, changes, said", [
    ("tokenizer.json", {"model": 3, "added_tokens": []}, "no model.vocab"),
    ("config.json", {"vocab_size": 8}, "vocab_size is 8"),
    ("config.json", {"rope_scaling": {"rope_type": "yarn", "factor": 1e300}}, "factor is 1e+300"),
    ("config.json", {"layer_types": "full_attention"}, "layer_types is not a list")])
def test_says_which_file_is_wrong(model, file, changes, said):
    content = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps({**content, **changes}))
    ended = check(model)
    assert ended.returncode == 1 and said in ended.stderr, ended.stderr


@pytest.mark.parametrize("flag, said", [("--group-id=a/b", "without '/'"), ("--shm=a/b", "without '/'"),
                                        ("--threads=1000", "--threads")])
def test_says_which_flag_is_wrong(model, flag, said):
    ended = check(model, flag)
    assert ended.returncode != 0 and said in ended.stderr, ended.stderr


def check_text(model):
    return subprocess.run([BIN / "quire-gateway", "--check", model], capture_output=True, text=True, timeout=300)


def test_good_text_files_are_said_to_be(model):
    ended = check_text(model)
    assert ended.returncode == 0 and ended.stderr == ""
    assert ended.stdout.startswith(f"OK: {model}: ") and ended.stdout.count("\n") == 1, ended.stdout


@pytest.mark.parametrize("file, content, said", [
    ("chat_template.jinja", "{{ messages }}\n{% if %}", "chat_template.jinja: chat template, line 2"),
    ("chat_template.jinja", "a\n\n{{ messages[0].none.x }}", "line 3"),
    ("tokenizer_config.json", "{", "tokenizer_config.json"),
    ("tokenizer_config.json", "{}", "no chat template"),
    ("generation_config.json", "", "generation_config.json: the file is empty"),
    ("generation_config.json", '{"temperature": "hot"}', "generation_config.json: temperature"),
    ("tokenizer.json", "{}", "tokenizer.json")])
def test_a_bad_text_file_is_named_with_its_place(model, file, content, said):
    (model / file).write_text(content)
    ended = check_text(model)
    assert ended.returncode == 78 and ended.stdout == ""
    assert file in ended.stderr and said in ended.stderr and ended.stderr.count("\n") == 1, ended.stderr


def test_a_folder_that_is_none(model):
    ended = check_text(model / "none")
    assert ended.returncode == 78 and "there is no such folder" in ended.stderr, ended.stderr


@pytest.mark.parametrize("program", ["quire-worker --check --model", "quire-gateway --check"])
def test_a_check_ends_when_it_is_told_to(model, program):
    """In the middle of it: nobody reads what it has to say, so it waits, and never ends by itself."""
    name, *flags = program.split()
    (model / "config.json").write_text("no JSON")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)  # for both, it and this process
    running = subprocess.Popen([BIN / name, *flags, model], stderr=writer)
    until("it waits in write(2, ...)", lambda: pathlib.Path(f"/proc/{running.pid}/syscall").read_text().startswith("1 0x2 "))
    running.terminate()
    assert running.wait(60) == -signal.SIGTERM
    os.close(reader)
    os.close(writer)


def test_a_good_model_and_its_ranks(model):
    assert check(model).returncode == 0
    assert check(model, "--rank", "2", "--ranks", "3").returncode == 0
    ended = check(model, "--ranks", "4")
    assert ended.returncode == 1 and "3 KV heads" in ended.stderr
