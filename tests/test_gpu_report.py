"""scripts/gpu/report over made-up results of scripts/gpu/check: the figures, and what it says of what failed or is not there."""
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
GPU = "NVIDIA H100 80GB HBM3"
RESULTS = {
    "device.csv": f"name, driver_version, clocks.current.sm [MHz]\n{GPU}, 580.159.04, 1980 MHz\n",
    "step.jsonl": [
        {"what": "device", "name": GPU}, {"what": "lines", "read_gb_per_s": 3150.4, "bf16_tflops": 820.3},
        {"what": "check", "name": "graph = eager", "ok": True, "error": ""},
        {"what": "decode", "gemms": "own", "batch": 32, "context": 1024, "ms": 29.06, "tokens_per_s": 1101.2, "line_ms": 23.04,
         "of_line": 0.7928, "without_overlap_ms": 29.42, "eager_ms": 29.32, "gap_us": 2.4},
        {"what": "decode_kinds", "gemms": "own", "batch": 32, "context": 1024, "kind": "down", "alone_us": 6850.0, "share_us": 1},
        {"what": "prefill", "gemms": "chains", "tokens": 8192, "chunk": 2048, "ms": 931.0, "tokens_per_s": 8799, "tflops": 599.1,
         "of_line": 0.73}],
    "check.jsonl": [{"what": "check", "suite": "rope", "kernel": "rope", "shape": "1 token", "ok": True, "error": 1e-3, "limit": 4e-3},
                    {"what": "check", "suite": "rows", "kernel": "embed", "shape": "17 tokens", "ok": False, "error": None, "limit": 0}],
    "check.log": [{"what": "check", "suite": "rope", "ok": True}],  # the same once more
    "bench.jsonl": [
        {"what": "bench", "suite": "lines", "kernel": "read line", "shape": "4 GiB", "us": 1361, "gb_per_s": 3155, "fraction_of_line": None},
        {"what": "bench", "suite": "rows", "kernel": "embed", "shape": "8192 tokens", "us": 100.0, "us_p10": 99.0, "us_p90": 104.0,
         "gb_per_s": 2516, "tflops": 0, "fraction_of_line": 0.79},
        {"what": "bench", "suite": "rows", "kernel": "embed", "shape": "did not run", "us": None, "fraction_of_line": None}],
    "gemm-bench.log": [
        {"what": "skinny", "shape": "qkv", "m": 16, "leaves": 1, "us": 30.0, "of_line": 0.80, "pdl_us": 28.0, "pdl_of_line": 0.85},
        {"what": "skinny_layer", "m": 16, "tree": True, "pdl": False, "us": 400.0, "of_line": 0.88}],
    "sampling.log": [{"what": "check", "kernel": "sampling", "shape": "greedy, 32 rows", "us": 22.4, "ok": True, "error": ""}],
    "memcheck.log": "========= ERROR SUMMARY: 0 errors\n",
}


def ended(run, exits):
    """What check writes of a run whose steps ended so; with None they did not."""
    return [{"what": "run", "name": run, "commit": "v1-2-gabc", "date": "2026-11-27T19:00:00Z"},
            *({"what": "planned", "name": name} for name in exits),
            *({"what": "step", "name": name, "exit": code, "seconds": 31} for name, code in exits.items() if code is not None)]


STEPS = {"check": 1, "bench": 0, "gemm-bench": 0, "sampling": 0, "memcheck": 0}
RESULTS |= {"steps-first.jsonl": ended("first", STEPS), "steps-full.jsonl": ended("full", {"step": 0})}


def report(folder, results):
    for name, content in results.items():
        text = content if isinstance(content, str) else "".join(json.dumps(record) + "\n" for record in content)
        (folder / name).write_text(text + ('{"what": "bench", "su' if name.endswith("l") else ""))  # the run was cut off
    return subprocess.run([sys.executable, ROOT / "scripts/gpu/report", folder], capture_output=True, text=True)


def row(page, *begin):
    [cells] = [cells for line in page.splitlines() if line.startswith("| ")
               if (cells := [cell.strip() for cell in line.strip("|").split("|")])[:len(begin)] == list(begin)]
    return cells[len(begin):]


def test_each_figure_stands_beside_its_line(tmp_path):
    done = report(tmp_path, RESULTS)
    assert done.returncode == 0 and done.stdout.startswith(f"# {GPU}: "), done.stderr
    page = done.stdout
    assert "580.159.04" in page and "Not in these results: Where a prefill's time goes, each kind alone." in page
    assert row(page, "reading, quire-cuda-step") == ["3150 GB/s"] and row(page, "read line, 4 GiB") == ["3155 GB/s"]
    assert row(page, "32, 1024") == ["own", "29.06", "1101", "23.04", "0.793", "29.42", "29.32", "2.4"]
    assert row(page, "batch 32, context 1024") == ["own", "6.85"]
    assert row(page, "8192, 2048") == ["chains", "931", "8799", "599", "679.6", "0.730"]
    assert row(page, "embed") == ["8192 tokens", "100 (99 to 104)", "2516", "0", "79", "0.790"]  # and no row for what did not run
    assert row(page, "qkv") == ["16", "28", "23.8", "0.850", "yes"]
    assert row(page, "a layer's four, o and down as trees") == ["16", "400", "352", "0.880", "no"]
    assert row(page, "greedy, 32 rows") == ["22.4"]


def test_what_failed_is_said(tmp_path):
    page = report(tmp_path, RESULTS).stdout
    assert row(page, "check") == ["2", "1", ""] and row(page, "step") == ["1", "0", ""] and row(page, "sampling") == ["1", "0", ""]
    assert row(page, "memcheck") == ["0", "0", "ERROR SUMMARY: 0 errors"]
    assert '- **check**: `{"what": "check", "suite": "rows", "kernel": "embed"' in page
    assert "`scripts/gpu/check first` of commit v1-2-gabc, 2026-11-27T19:00:00Z: 5 steps, 1 failed; `scripts/gpu/check full`" in page
    assert page.count("- **check**: exit 1 after 31 s\n") == 1 and page.count("after 31 s") == 1


def test_what_says_nothing_of_itself_has_failed(tmp_path):
    """A hang, a crash and a launch that was refused leave few records, or fast ones."""
    refused = {"what": "bench", "suite": "attention", "kernel": "wide", "shape": "8192", "us": 3.1, "us_p10": 3, "us_p90": 4, "gb_per_s": 9,
               "tflops": 9, "fraction_of_line": 40.0, "error": "launching a kernel: invalid argument"}
    line = {"what": "bench", "suite": "lines", "kernel": "copy line", "shape": "4 GiB", "us": 2, "gb_per_s": 1e6, "error": "sticky"}
    steps = ended("first", {**STEPS, "check": 124, "bench": 1, "model": 1, "racecheck": 124, "serve": None})
    page = report(tmp_path, {**RESULTS, "bench.jsonl": [*RESULTS["bench.jsonl"], refused, line], "model.log": "[  FAILED  ] A.B\n",
                             "racecheck.log": '{"what": "check", "ok": true}\n', "step-memcheck.log": "", "steps-first.jsonl": steps}).stdout
    wrong = page.partition("## Steps that failed\n")[2].partition("\n\n")[0].splitlines()
    assert wrong == ["- **check**: exit 124 after 31 s", "- **bench**: exit 1 after 31 s", "- **model**: exit 1 after 31 s",
                     "- **racecheck**: exit 124 after 31 s", "- **serve**: it did not end", "- **step-memcheck**: nothing says how it ended"]
    assert row(page, "racecheck") == ["1", "0", "**no summary**"] and row(page, "step-memcheck") == ["0", "0", "**no summary**"]
    assert row(page, "bench") == ["0", "2", ""] and "launching a kernel: invalid argument" in page
    assert "| wide |" not in page and "| copy line" not in page and "40.000" not in page


CHECKED = """#!/bin/sh
echo "$*" >>"$OUT/called"
case "$*" in *"$FAILS"*) exit 3 ;; esac
"""


def check(root, what, fails):
    """scripts/gpu/check with programs that do nothing; those whose arguments have `fails` in them fail."""
    tools = {root / "tools" / name: "#!/bin/sh\nshift 4\nexec \"$@\"\n" for name in ("compute-sanitizer", "ncu")}
    tools[root / "tools/python3"] = CHECKED
    programs = {root / "bin" / f"quire-cuda-{name}": CHECKED for name in ("check", "gemm", "model", "sampling", "step")}
    for path, text in {**tools, **programs, root / "bin/commit": "v1-2-gabc\n"}.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    environment = {**os.environ, "PATH": f"{root}/tools:{os.environ['PATH']}", "QUIRE_CUDA_BIN": str(root / "bin"),
                   "OUT": str(root / "out"), "FAILS": fails}
    return subprocess.run([ROOT / "scripts/gpu/check", what], env=environment, capture_output=True, text=True)


def test_check_writes_down_how_each_step_ended(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/check.jsonl").write_text("of last week")
    done = check(tmp_path, "first", fails="--shape tiny --parts check")
    assert done.returncode == 1, done.stdout + done.stderr
    found = [json.loads(line) for line in (tmp_path / "out/steps-first.jsonl").read_text().splitlines()]
    assert found[0]["name"] == "first" and found[0]["commit"] == "v1-2-gabc"
    planned = [record["name"] for record in found if record["what"] == "planned"]
    exits = {record["name"]: record["exit"] for record in found if record["what"] == "step"}
    assert list(exits) == planned and len(planned) == len(set(planned)) and {"check", "model", "nccl", "serve", "bench", "gemm-racecheck"} < set(planned)
    assert {name for name, code in exits.items() if code} == {"step-memcheck"} and exits["step-memcheck"] == 3
    assert len((tmp_path / "out/called").read_text().splitlines()) == len(planned)  # each ran once
    called = (tmp_path / "out/called").read_text().splitlines()
    assert [line for line in called if "CudaNccl" in line] == ["--gtest_filter=-*CudaNccl*", "--gtest_filter=*CudaNccl*"]
    assert not (tmp_path / "out/check.jsonl").exists()  # by this program that writes nothing
    assert check(tmp_path, "full", fails="nothing").returncode == 0
    page = subprocess.check_output([sys.executable, ROOT / "scripts/gpu/report", tmp_path / "out"], text=True)
    assert "- **step-memcheck**: exit 3 after" in page and "`scripts/gpu/check full` of commit v1-2-gabc" in page and "nothing says" not in page


def test_results_of_two_devices_are_no_page(tmp_path):
    done = report(tmp_path, {**RESULTS, "device.csv": "name, driver_version\nNVIDIA H200, 1\n"})
    assert done.returncode == 1 and GPU in done.stderr and "NVIDIA H200" in done.stderr and not done.stdout


def test_an_empty_folder_names_all_that_is_missing(tmp_path):
    page = report(tmp_path, {}).stdout
    assert "An unknown device" in page and "Checks; A decode step" in page
