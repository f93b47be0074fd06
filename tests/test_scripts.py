"""The scripts: well-formed, clean by shellcheck, saying what they take; and CI runs what the README names."""
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


def bash_scripts():
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "scripts", ".ci"], cwd=ROOT,
                           capture_output=True, text=True, check=True).stdout.split()
    return [name for name in names if (ROOT / name).read_bytes().startswith(b"#!/usr/bin/env bash\n")]


@pytest.mark.parametrize("name", bash_scripts())
def test_a_script_is_sound(name):
    assert os.access(ROOT / name, os.X_OK)
    assert "set -euo pipefail" in (ROOT / name).read_text()
    for tool in (["bash", "-n"], ["shellcheck"]):
        done = subprocess.run([*tool, ROOT / name], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_wrong_arguments_are_refused_before_anything_is_done():
    for command in (["scripts/setup", "--no-such"], ["scripts/test", "no-such-stage"]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2 and "no-such" in done.stderr and not done.stdout


def test_jobs_are_bounded_by_cores():
    def jobs(*prefix):
        return int(subprocess.check_output([*prefix, ROOT / "scripts/jobs"], text=True))
    assert 1 <= jobs() <= len(os.sched_getaffinity(0))
    assert jobs("taskset", "-c", str(min(os.sched_getaffinity(0)))) == 1


def test_no_preset_fixes_a_number_of_jobs():
    presets = json.loads((ROOT / "CMakePresets.json").read_text())
    for kind in ("buildPresets", "testPresets"):
        assert not [preset["name"] for preset in presets[kind] if "jobs" in json.dumps(preset)]
    ours = {preset["name"] for preset in presets["configurePresets"]} - {"base"}
    assert ours <= {preset["name"] for preset in presets["buildPresets"]}
    assert {"release", "asan", "tsan"} <= {preset["name"] for preset in presets["testPresets"]}


def test_ci_runs_what_the_readme_names():
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == "exec scripts/test"
    assert "`scripts/test` installs, builds and runs what CI runs" in (ROOT / "README.md").read_text()
