"""scripts/gpu/report over made-up results of scripts/gpu/check: the figures, and what it says of what failed or is not there."""
import json
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
    "sampling.log": [{"what": "check", "kernel": "sample_rows", "shape": "greedy, 32 rows", "us": 22.4, "ok": True, "error": ""}],
    "memcheck.log": "========= ERROR SUMMARY: 0 errors\n",
}


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


def test_results_of_two_devices_are_no_page(tmp_path):
    done = report(tmp_path, {**RESULTS, "device.csv": "name, driver_version\nNVIDIA H200, 1\n"})
    assert done.returncode == 1 and GPU in done.stderr and "NVIDIA H200" in done.stderr and not done.stdout


def test_an_empty_folder_names_all_that_is_missing(tmp_path):
    page = report(tmp_path, {}).stdout
    assert "An unknown device" in page and "Checks; A decode step" in page
