"""A start on a disk that has no room or can't be written, and what it says: each on a small file system of its own."""
import shlex
import subprocess

import pytest
from system import BIN, TINY_MODEL
from test_ledger_faults import may_mount

pytestmark = [pytest.mark.tiny,
              pytest.mark.skipif(not may_mount(), reason="a file system of its own needs the right to mount one")]


def serve_on(disk, prepare):
    """`quire serve` in disk/data, which a former start left, on 1 MiB of disk that was prepared so."""
    serve = shlex.join(map(str, [BIN / "quire", "serve", "--model", TINY_MODEL, "--data", disk / "data", "--port", "0",
                                 "--admin-port", "0"]))
    script = (f"mount -t tmpfs -o size=1m none {disk} && mkdir -p {disk}/data/logs {disk}/data/run && "
              f"{{ {prepare}; }} && exec {serve}")
    ended = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "trying again" not in ended.stdout
    assert "by itself" not in ended.stderr  # it has ended
    return ended.stderr


def test_a_read_only_folder_is_refused_at_once(tmp_path):
    said = serve_on(tmp_path, f"mount -o remount,ro {tmp_path}")
    assert "Read-only file system" in said and str(tmp_path) in said, said


def test_a_full_disk_is_named(tmp_path):
    said = serve_on(tmp_path, f"head -c 2M /dev/zero > {tmp_path}/fill 2> /dev/null || true")
    assert "can't write in" in said and "No space left on device: make room" in said, said


def test_a_disk_that_gets_full_during_the_start_is_named(tmp_path):
    said = serve_on(tmp_path, f"head -c 944K /dev/zero > {tmp_path}/fill")
    assert "the coordinator can't start" in said and "make room on its disk" in said, said
