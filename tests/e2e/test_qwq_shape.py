"""A folder of QwQ-32B's shape, whose weights are holes in files: `--check` accepts it with the README's flags on a machine of
the README's size and says what it takes, and names whatever dimension is wrong."""
import json
import math
import os
import re
import shlex
import subprocess

import pytest

from generated import generated_models
from system import BIN, ROOT, serve_once

import record_shapes  # of tests/golden, on the path since generated

TEXT = ROOT / "build/testdata/text"  # scripts/fetch-test-vocabularies
GIB = 1 << 30
SHARD_BYTES = 4_900_000_000
SHAPES = {tensor.name: list(tensor.shape) for tensor in generated_models.tensors_of(generated_models.QWQ_32B)}
README = (ROOT / "README.md").read_text()
COMMAND = re.search(r"^scripts/serve --model models/QwQ-32B(.*)$", README, re.M)
README_GIB = int(re.search(r"a machine of (\d+) GiB", README)[1])


def write_text_files(folder):
    tokenizer = json.loads((TEXT / "qwen2/tokenizer.json").read_text())
    first = len(tokenizer["model"]["vocab"])
    special, plain = record_shapes.QWEN_SPECIAL, record_shapes.QWQ_PLAIN
    tokenizer["added_tokens"] = [*record_shapes.added(special, True, first),
                                 *record_shapes.added(plain, False, first + len(special))]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    template = (TEXT / "templates/qwq.jinja").read_text()
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "chat_template": template}))
    (folder / "generation_config.json").write_text(json.dumps(
        {"do_sample": True, "eos_token_id": [first + 2, first], "temperature": 0.6, "top_k": 40, "top_p": 0.95}))


def split_into_shards(shapes):
    shards, room = [], 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        if size > room:
            shards.append({})
            room = SHARD_BYTES
        shards[-1][name] = shape
        room -= size
    return shards


def write_shard(path, shapes):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        end = offset + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)  # a hole


SHARDS = {f"model-{number:05}-of-00014.safetensors": shard for number, shard in enumerate(split_into_shards(SHAPES), 1)}
TOTAL_BYTES = sum(2 * math.prod(shape) for shape in SHAPES.values())


def write_model(folder):
    (folder / "config.json").write_text(json.dumps(generated_models.QWQ_32B))
    for name, shard in SHARDS.items():
        write_shard(folder / name, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps(
        {"metadata": {"total_size": TOTAL_BYTES},
         "weight_map": {tensor: name for name, shard in SHARDS.items() for tensor in shard}}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write_text_files(folder)
    write_model(folder)
    return folder


@pytest.fixture
def model(tmp_path, whole):
    """The whole folder, whose files a test may replace."""
    folder = tmp_path / "QwQ-32B"
    folder.mkdir()
    for file in whole.iterdir():
        (folder / file.name).symlink_to(file)
    return folder


@pytest.fixture
def lean(model):
    """With the small vocabulary of tests/golden: a second less for each look."""
    (model / "tokenizer.json").unlink()
    (model / "tokenizer.json").symlink_to(ROOT / "tests/golden/data/text/shapes/qwq.json")
    return model


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """machine(gib): the environment of a program that sees so much memory."""
    folder = tmp_path_factory.mktemp("machine")

    def of(gib):
        library = folder / f"machine_{gib}.so"
        if not library.exists():
            source = ROOT / "tests/e2e/larger_machine.c"
            subprocess.run(["cc", "-shared", "-fPIC", f"-DMACHINE_BYTES={gib * GIB}L", "-o", library, source, "-ldl"],
                           check=True)
        return {**os.environ, "LD_PRELOAD": str(library)}
    return of


def check(model, environment, *flags):
    return subprocess.run([BIN / "quire-worker", "--check", "--model", model, *flags], capture_output=True, text=True,
                          env=environment, timeout=300)


def test_a_rank_on_a_host_of_its_own_needs_room_for_its_slice(lean, machine):
    flags = ["--ranks=4", "--kv-blocks=1024", *shlex.split(COMMAND[1])]
    together = check(lean, machine(40), *flags)
    assert together.returncode == 1 and "a machine, a container" in together.stderr, together.stderr
    for rank in range(4):
        alone = check(lean, machine(40), f"--rank={rank}", "--rendezvous=10.0.0.1", *flags)
        assert alone.returncode == 0 and "1024 KV blocks" in alone.stderr, alone.stderr


def test_the_folder_is_of_the_published_size(whole):
    assert TOTAL_BYTES == 65_527_752_704 and len(SHAPES) == 771
    shards = list(whole.glob("*.safetensors"))
    assert len(shards) == 14 and sum(file.stat().st_size for file in shards) > TOTAL_BYTES
    assert sum(file.stat().st_blocks for file in shards) * 512 < 1 << 20


@pytest.mark.parametrize("ranks", [0, 1, 2, 4, 8])
def test_the_readmes_line_is_accepted(model, machine, ranks):
    ended = check(model, machine(README_GIB), f"--ranks={ranks}", *shlex.split(COMMAND[1]))
    assert ended.returncode == 0, ended.stderr
    assert int(json.loads(ended.stdout)["ranks"]) == ranks or ranks == 0
    [plan] = [line["plan"] for line in map(json.loads, ended.stderr.splitlines()) if line["event"] == "kv_plan"]
    assert re.fullmatch(r"8192 KV blocks of 16 tokens: 32\.00 GiB, 1\.0 full contexts, beside 61\.\d\d GiB of weights in "
                        rf"{README_GIB}\.00 GiB", plan), plan


def test_the_readmes_text_files_are_accepted(model):
    ended = subprocess.run([BIN / "quire-gateway", "--check", model], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr


def test_a_machine_that_is_too_small_is_told_what_it_takes(model, machine, tmp_path, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", machine(64)["LD_PRELOAD"])  # which the launcher's children inherit
    ended = serve_once("--model", model, "--data", tmp_path / "data", *shlex.split(COMMAND[1]))
    assert ended.returncode != 0
    assert re.search(r"the weights need 61\.\d\d GiB and this group may use 57\.60 GiB of memory", ended.stderr), ended.stderr


@pytest.mark.parametrize("ranks", [1, 8])
def test_int8_takes_half_of_it(lean, machine, ranks):
    ended = check(lean, machine(40), f"--ranks={ranks}", "--weights=int8", "--kv-blocks=64")
    assert ended.returncode == 0 and re.search(r"beside 32\.\d\d GiB of weights", ended.stderr), ended.stderr


def test_a_check_reads_little_of_the_weights(tmp_path, machine):
    write_text_files(tmp_path)
    write_model(tmp_path)
    assert check(tmp_path, machine(README_GIB)).returncode == 0
    listed = subprocess.run(["fincore", "--bytes", "--noheadings", "--output", "RES", *tmp_path.glob("*.safetensors")],
                            capture_output=True, text=True, check=True)
    assert sum(map(int, listed.stdout.split())) < 64 << 20, "of 65 GB, though the disk may read far ahead"


LARGE = 512  # no memory is missing: what is refused is a dimension


@pytest.mark.parametrize("field, value, said", [
    ("hidden_size", 5200, "model.embed_tokens.weight has the shape [152064, 5120]; by config.json it has to be [152064, 5200]"),
    ("intermediate_size", 27664, "mlp.gate_proj.weight has the shape [27648, 5120]; by config.json it has to be [27664, 5120]"),
    ("num_attention_heads", 32, "k_proj.weight has the shape [1024, 5120]; by config.json it has to be [1280, 5120]"),
    ("num_key_value_heads", 4, "k_proj.weight has the shape [1024, 5120]; by config.json it has to be [512, 5120]"),
    ("num_hidden_layers", 63, "model.layers.63."), ("num_hidden_layers", 65, "has no tensor model.layers.64."),
    ("vocab_size", 152_000, "model.embed_tokens.weight has the shape [152064, 5120]; by config.json it has to be [152000, 5120]"),
    ("head_dim", 64, "q_proj.weight has the shape [5120, 5120]; by config.json it has to be [2560, 5120]")])
def test_says_which_number_of_the_config_is_wrong(lean, machine, field, value, said):
    (lean / "config.json").unlink()
    (lean / "config.json").write_text(json.dumps(generated_models.QWQ_32B | {field: value}))
    ended = check(lean, machine(LARGE))
    assert ended.returncode == 1 and said in ended.stderr, ended.stderr


DIMENSIONS = [(name, axis) for name, shape in SHAPES.items() for axis in range(len(shape))
              if name.startswith("model.layers.37.") or ".layers." not in name]


@pytest.mark.parametrize("name, axis", DIMENSIONS)
def test_says_which_dimension_of_which_tensor_is_wrong(lean, machine, name, axis):
    wrong = list(SHAPES[name])
    wrong[axis] -= 1
    [(file, shard)] = [(file, shard) for file, shard in SHARDS.items() if name in shard]
    (lean / file).unlink()
    write_shard(lean / file, {**shard, name: wrong})
    ended = check(lean, machine(LARGE))
    assert ended.returncode == 1, ended.stdout
    assert f"tensor {name} has the shape {wrong}; by config.json it has to be {SHAPES[name]}" in ended.stderr, ended.stderr
