"""What the programs say to somebody who asks or got something wrong, and how `quire serve` ends."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from system import BIN, ROOT, TINY_MODEL, System, http, serve_once, until

pytestmark = pytest.mark.tiny


@pytest.mark.parametrize("program", sorted(path.name for path in BIN.glob("quire*") if path.name != "quire-test-child"))
def test_version(program):
    [declared] = re.findall(r"^project\(quire .*VERSION ([0-9.]+)\)", (ROOT / "CMakeLists.txt").read_text(), re.M)
    said = subprocess.run([BIN / program, "--version"], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(rf"{program} {re.escape(declared)}( \(\S+\))?\n", said), said


def test_wrong_flag():
    ended = serve_once("--modle", "x")
    assert ended.returncode == 2 and "did you mean --model" in ended.stderr


def test_missing_model(tmp_path):
    ended = serve_once("--model", str(tmp_path / "none"), "--data", str(tmp_path / "data"))
    assert ended.returncode == 1 and "none" in ended.stderr


@pytest.mark.parametrize("damage", ["truncated weights", "no tokenizer", "broken template", "other architecture"])
def test_broken_model(tmp_path, damage):
    model = tmp_path / "model"
    shutil.copytree(TINY_MODEL, model)
    if damage == "truncated weights":
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        named = "model.safetensors"
    elif damage == "no tokenizer":
        (model / "tokenizer.json").unlink()
        named = "tokenizer.json"
    elif damage == "broken template":
        (model / "chat_template.jinja").write_text("{{ messages }}\n{% if %}")
        named = "chat template, line 2"
    else:
        config = (model / "config.json").read_text()
        (model / "config.json").write_text(config.replace("Qwen2ForCausalLM", "MambaForCausalLM"))
        named = "MambaForCausalLM"
    ended = serve_once("--model", str(model), "--data", str(tmp_path / "data"), "--port", "0", "--admin-port", "0")
    assert ended.returncode == 1 and named in ended.stderr, ended.stderr + ended.stdout


def test_more_ranks_than_kv_heads(tmp_path):
    ended = serve_once("--model", str(TINY_MODEL), "--tensor-parallel", "9", "--data", str(tmp_path / "data"))
    assert ended.returncode == 1 and "KV heads" in ended.stderr, ended.stderr


@pytest.mark.parametrize("flag", ["--port", "--admin-port"])
def test_taken_port(tmp_path, flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        other = "--admin-port" if flag == "--port" else "--port"
        ended = serve_once("--model", str(TINY_MODEL), "--data", str(tmp_path / "data"), flag, port, other, "0")
    assert ended.returncode == 1 and port in ended.stderr, ended.stderr


def test_stop_drains_and_keeps_keys(tmp_path):
    data = tmp_path / "kept"
    with System(TINY_MODEL, data=data) as first:
        key = first.api_key
        assert first.chat("Hi", max_tokens=3)[0] == 200
        assert first.stop() == 0
    assert oct((data / "keys.json").stat().st_mode)[-3:] == "600"
    with System(TINY_MODEL, data=data) as second:
        assert second.api_key == key
        assert second.chat("Hi", max_tokens=3)[0] == 200


def test_launcher_restarts_a_dead_gateway():
    with System(TINY_MODEL) as system:
        os.kill(system.pid_of("gateway"), signal.SIGKILL)

        def back():
            try:
                return http("GET", f"{system.url}/v1/models", system.api_key)[0] == 200
            except OSError:
                return False
        until("the gateway back on its port", back)
        assert system.chat("Hi", max_tokens=3)[0] == 200
