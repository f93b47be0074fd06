"""schemathesis over /openapi.json, by its command line: requests that the document allows, requests that it doesn't, and every
answer held to it. What is left out stands, with the reason, in schemathesis_hooks.py."""
import os
import pathlib
import re
import subprocess
import sys

import pytest

from generated import tiny_qwq
from system import System

pytestmark = pytest.mark.tiny
HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with System(tiny_qwq(tmp_path_factory.mktemp("model")), webhook_retry_ms=1) as running:
        yield running


def schemathesis(system, *options):
    """(exit code, what it says)."""
    command = [pathlib.Path(sys.executable).parent / "schemathesis", "run", f"{system.url}/openapi.json", "--checks", "all",
               "-H", f"Authorization: Bearer {system.api_key}", "--request-timeout", "60", "--generation-deterministic",
               "--continue-on-failure", "--no-color", *options]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE),
                   "QUIRE_TEST_MODEL": system.model}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1500, cwd=system.folder.name)
    return ended.returncode, ended.stdout + ended.stderr


def check(system, *options):
    code, said = schemathesis(system, *options)
    assert code == 0, said[-20000:]
    tried = int(re.search(r"(\d+) generated", said)[1])
    assert tried > 100, said[-20000:]


def test_it_finds_nothing_at_the_bounds_of_each_field(system):
    check(system, "--phases", "examples,coverage")


def test_it_finds_nothing_in_random_requests(system):
    check(system, "--phases", "fuzzing", "--max-examples", "12")


@pytest.mark.full
def test_it_finds_nothing_in_many_random_requests(system):
    check(system, "--phases", "fuzzing", "--max-examples", "300")
