"""A coordinator that dies during its first start harms nobody (first_start_kills.py does it, in a PID namespace)."""
import pathlib
import subprocess
import sys

import pytest
from system import TINY_MODEL

pytestmark = pytest.mark.tiny
NAMESPACES = (["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"],
              ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"])


def namespace():
    for command in NAMESPACES:
        try:
            if subprocess.run([*command, "true"], capture_output=True, timeout=60).returncode == 0:
                return command
        except FileNotFoundError:
            break
    pytest.skip("unshare may not make a PID namespace here: run as root, or allow unprivileged user namespaces")


def test_nothing_but_ours_dies_and_no_old_epoch_lives():
    script = pathlib.Path(__file__).with_name("first_start_kills.py")
    ended = subprocess.run([*namespace(), sys.executable, script, TINY_MODEL], capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, ended.stdout + ended.stderr
