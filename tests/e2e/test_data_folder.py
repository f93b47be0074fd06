"""What `quire serve` does with the folder it is given, and with one that was damaged, restored or moved about."""
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3

import pytest

from system import TINY_MODEL, System, serve_once

pytestmark = pytest.mark.tiny


def refused(data, *flags):
    ended = serve_once("--model", TINY_MODEL, "--data", data, "--port", "0", "--admin-port", "0", *flags)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stderr


def test_a_lost_fleet_json_is_no_obstacle(tmp_path):
    """Deleting it is what docs/OPERATIONS.md says where it is damaged; the epochs are known from elsewhere, too."""
    data = tmp_path / "data"
    with System(TINY_MODEL, data=data) as first:
        assert first.stop() == 0
    (data / "fleet.json").unlink()
    epochs = json.loads((data / "epochs.json").read_text())
    epochs["g0"]["epoch"] += 40  # as after many restarts
    (data / "epochs.json").write_text(json.dumps(epochs))
    with System(TINY_MODEL, data=data) as second:
        assert second.chat("Hi", max_tokens=3)[0] == 200
        assert json.loads((data / "fleet.json").read_text())["groups"][0]["epoch"] == epochs["g0"]["epoch"] + 1


def test_keys_json_may_be_taken_away(tmp_path):
    data = tmp_path / "data"
    with System(TINY_MODEL, data=data) as first:
        key = first.api_key
        assert first.stop() == 0
        assert key not in "".join(first.output), "stdout of a service is a log"
    (data / "keys.json").unlink()
    with System(TINY_MODEL, data=data) as second:
        assert second.api_key is None
        assert second.chat("Hi", max_tokens=3, key=key)[0] == 200


def test_a_folder_of_somebody_else_is_left_as_it_is(tmp_path):
    (tmp_path / "thesis.txt").write_text("a year of work")
    tmp_path.chmod(0o755)
    assert "thesis.txt" in refused(tmp_path)
    assert oct(tmp_path.stat().st_mode)[-3:] == "755" and [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_second_one_is_refused_and_touches_nothing(tmp_path):
    with System(TINY_MODEL) as system:
        errors = system.data / "logs/coordinator.err"
        before = errors.stat().st_ino
        assert "uses " in refused(system.data)
        assert errors.stat().st_ino == before, "it is still what the first one's coordinator writes to"
        assert "another" not in (system.data / "logs/coordinator.log").read_text()
        assert system.chat("Hi", max_tokens=3)[0] == 200


@pytest.mark.parametrize("file", ["epochs.json", "fleet.json", "models.json", "pepper", "worker_secret"])
def test_a_damaged_file_is_no_lost_ledger(tmp_path, file):
    data = tmp_path / "data"
    with System(TINY_MODEL, data=data) as first:
        assert first.stop() == 0
    (data / file).write_text("}")
    said = refused(data)
    assert "the coordinator can't start (exit code 78)" in said and file in said, said


@pytest.mark.parametrize("damage", [lambda text: text + "\n", lambda text: text[:40]])
@pytest.mark.parametrize("file", ["pepper", "worker_secret"])
def test_a_damaged_secret_is_named_before_anybody_uses_it(tmp_path, file, damage):
    data = tmp_path / "data"
    with System(TINY_MODEL, data=data) as first:
        assert first.stop() == 0
    (data / file).write_text(damage((data / file).read_text()))
    said = refused(data)
    assert f"{file} is damaged" in said and "the coordinator can't start (exit code 78)" in said, said


def test_a_backup_is_restored_as_the_refusal_says(tmp_path):
    """After a crash the write-ahead log of the lost file is still there, and must not reach into its successor."""
    data = tmp_path / "data"
    with System(TINY_MODEL, data=data) as first:
        with contextlib.closing(sqlite3.connect(data / "ledger.db")) as books, \
                contextlib.closing(sqlite3.connect(tmp_path / "backup")) as backup:
            books.backup(backup)
        kept = first.admin("GET", "keys")[1]["data"]
        for number in range(20):
            first.create_key(name=f"later {number}")
        os.kill(first.process.pid, signal.SIGSTOP)
        os.kill(first.pid_of("coordinator"), signal.SIGKILL)
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(60)
    (data / "ledger.db").unlink()
    assert (data / "ledger.db-wal").exists()
    said = refused(data)
    assert "remove its -wal and -shm files and restore it" in said, said
    for end in ("-wal", "-shm"):
        (data / f"ledger.db{end}").unlink()
    shutil.copy(tmp_path / "backup", data / "ledger.db")
    with System(TINY_MODEL, data=data) as second:
        assert second.admin("GET", "keys")[1]["data"] == kept


def test_a_lost_ledger_is_not_begun_anew(tmp_path):
    data = tmp_path / "data"
    with System(TINY_MODEL, data=data) as first:
        assert first.stop() == 0
    (data / "ledger.db").rename(tmp_path / "kept")
    assert "ledger.db is missing" in refused(data)
    (tmp_path / "kept").rename(data / "ledger.db")
    with System(TINY_MODEL, data=data) as second:
        assert second.chat("Hi", max_tokens=3)[0] == 200


def test_a_ready_file_that_can_not_be_written_is_said_before_anything_starts(tmp_path):
    assert "--ready-file" in refused(tmp_path / "data", "--ready-file", tmp_path / "none/ready")
    assert not (tmp_path / "data").exists()


def test_a_ready_file_is_there_as_long_as_it_serves(tmp_path):
    ready = tmp_path / "ready"
    ready.write_text("of a former run")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused(tmp_path / "data", "--ready-file", ready, "--admin-port", str(taken.getsockname()[1]))
    assert not ready.exists()
    with System(TINY_MODEL, ready_file=ready, data=tmp_path / "data") as system:
        assert json.loads(ready.read_text())["url"] == system.url
        refused(system.data, "--ready-file", ready)
        assert ready.exists(), "it is not that one's"
        assert system.stop() == 0
        assert not ready.exists()


def test_a_model_name_that_no_request_could_name_is_refused(tmp_path):
    ended = serve_once("--model", TINY_MODEL, "--data", tmp_path / "data", "--model-name", b"n\xffd")
    assert ended.returncode == 2 and "--model-name" in ended.stderr
