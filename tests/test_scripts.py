"""The scripts: well-formed, clean by shellcheck, saying what they take; and CI runs what the README names."""
import json
import os
import pathlib
import re
import select
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


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


CACHE = {"build/release/CMakeCache.txt": "QUIRE_CUDA_MISSING:INTERNAL=\n"}
QUIRE = {"build/release/bin/quire": '#!/bin/sh\necho "quire $*"\n'}
BUILT = {"scripts/setup": "#!/bin/sh\n", "scripts/jobs": "#!/bin/sh\necho 1\n", "bin/cmake": "#!/bin/sh\n",
         "scripts/fetch-demo-model": "#!/bin/sh\necho fetched\n", **QUIRE}


def run_script(root, name, files, *arguments):
    """One of the scripts, in a tree that has nothing but it and these."""
    files = {name: (ROOT / name).read_text(), **files}
    write(root, files)
    for file in files:
        (root / file).chmod(0o755)
    return subprocess.run([root / name, *arguments], capture_output=True, text=True,
                          env={**os.environ, "PATH": f"{root}/bin:{os.environ['PATH']}"})


def run_serve(root, files, *flags):
    return run_script(root, "scripts/serve", files, *flags)


@pytest.mark.parametrize("flag", ["--help", "-h", "--version"])
@pytest.mark.parametrize("files", [{}, QUIRE], ids=["nothing is there", "built"])
def test_asking_serve_for_its_options_installs_and_builds_nothing(tmp_path, flag, files):
    trap = {name: "#!/bin/sh\necho done; exit 9\n" for name in ("scripts/setup", "bin/cmake", "scripts/fetch-demo-model")}
    done = run_serve(tmp_path, {**trap, **files}, "--groups", "2", flag)
    assert done.returncode == 0 and "done" not in done.stdout, done.stdout + done.stderr
    assert (f"quire serve {flag}" if files else "scripts/serve builds it") in done.stdout, done.stdout


@pytest.mark.parametrize("flags, given", [([], False), (["--model-name", "x"], False), (["--model", "m"], True),
                                          (["--model=m"], True)])
def test_serve_fetches_a_model_unless_one_is_given(tmp_path, flags, given):
    done = run_serve(tmp_path, BUILT, *flags)
    assert ("fetched" in done.stdout) != given
    demo = [] if given else ["--model", "models/smollm2-135m-instruct"]
    assert " ".join(["quire serve", *demo, *flags]) in done.stdout, done.stdout + done.stderr


LAST_TEST_LOG = """1/2 Test: x_test
[ RUN      ] Gone.WithoutAWord
x_test.cc:85: Skipped
needs CAP_NET_ADMIN

[  SKIPPED ] Gone.WithoutAWord (0 ms)
[ RUN      ] Gone.WithOne
[       OK ] Gone.WithOne (1 ms)
[ RUN      ] Isa/Dots.Agree/avx512
x_test.cc:9: Skipped
not here:
no AVX-512

[  SKIPPED ] Isa/Dots.Agree/avx512 (12 ms)
[  SKIPPED ] 2 tests, listed below:
[  SKIPPED ] Gone.WithoutAWord
[  SKIPPED ] Isa/Dots.Agree/avx512
"""


def test_what_was_skipped_is_listed_at_the_end(tmp_path):
    log = "build/release/Testing/Temporary/LastTest.log"
    stubs = {name: "#!/bin/sh\n" for name in ("scripts/setup", "scripts/fetch-demo-model", "scripts/fetch-test-vocabularies", "bin/cmake")}
    python = "#!/bin/sh\necho 'SKIPPED [2] tests/e2e/test_disk.py:9: needs root'\necho '5 passed, 2 skipped'\n"
    files = {**stubs, **CACHE, "scripts/jobs": "#!/bin/sh\necho 1\n", "scripts/skipped": (ROOT / "scripts/skipped").read_text(),
             ".venv/bin/python": python, "last": LAST_TEST_LOG,
             "bin/ctest": f"#!/bin/sh\nmkdir -p {os.path.dirname(log)}\ncp last {log}\n"}
    done = run_script(tmp_path, "scripts/test", files, "release")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.partition("not run:\n")[2].splitlines() if not line.startswith("test: ")] == [
        "SKIPPED Gone.WithoutAWord: needs CAP_NET_ADMIN", "SKIPPED Isa/Dots.Agree/avx512: not here: no AVX-512",
        "SKIPPED [2] tests/e2e/test_disk.py:9: needs root"]
    (tmp_path / ".venv/bin/python").write_text("#!/bin/sh\necho '1 failed'\nexit 1\n")
    failed = run_script(tmp_path, "scripts/test", {"bin/ctest": files["bin/ctest"]}, "release")
    assert failed.returncode == 1 and "passed" not in failed.stdout, failed.stdout


@pytest.mark.parametrize("missing", ["", "no nvcc is here"])
def test_the_last_line_says_why_nothing_of_cuda_was_built(tmp_path, missing):
    stubs = {name: "#!/bin/sh\n" for name in ("scripts/setup", "scripts/fetch-demo-model", "scripts/fetch-test-vocabularies")}
    log = '#!/bin/sh\necho "$*" >>called\n'
    files = {**stubs, "scripts/jobs": "#!/bin/sh\necho 1\n", "bin/cmake": log, ".venv/bin/python": log,
             "build/release/CMakeCache.txt": f"A:BOOL=ON\nQUIRE_CUDA_MISSING:INTERNAL={missing}\nB:BOOL=ON\n"}
    done = run_script(tmp_path, "scripts/test", files, "cuda")
    assert done.returncode == 0, done.stdout + done.stderr
    last, called = done.stdout.splitlines()[-1], (tmp_path / "called").read_text()
    assert last.endswith("all that was run passed" + ("; nothing of CUDA was built: no nvcc is here" if missing else "")), last
    assert ("--build --preset cuda" in called) == (not missing) and "pytest -q tests/cuda" in called, called
    done = run_script(tmp_path, "scripts/test", {"bin/ctest": log, "scripts/skipped": log}, "release")  # it builds the library
    assert done.stdout.splitlines()[-1].split(" ", 2)[2] == last.split(" ", 2)[2], done.stdout + done.stderr


@pytest.mark.parametrize("size", [1, 8])
def test_a_folder_for_a_gpu_machine_is_of_what_was_just_built_and_not_too_large(tmp_path, size):
    log = '#!/bin/sh\necho "$*" >>called\n'
    files = {"scripts/jobs": "#!/bin/sh\necho 1\n", "bin/cmake": log, "bin/git": "#!/bin/sh\necho v1-2-gabc-dirty\n", "library.so": "",
             "bin/strip": f'#!/bin/sh\necho strip >>called\n[ "${{2##*/}}" = libquire-cuda.so ] && more=1\ntruncate -s "$(({size}+more))M" "$2"\n',
             "bin/ldd": '#!/bin/sh\necho "\tlibrary.so => $PWD/library.so (0x1)"\n', ".venv/bin/python": "#!/bin/sh\n"}
    done = run_script(tmp_path, "scripts/gpu/pack", files, "there")
    called = (tmp_path / "called").read_text().splitlines()
    assert called == ["--preset release", "--build --preset release --parallel 1", "--build --preset cuda --parallel 1", *["strip"] * 10]
    assert (tmp_path / "there/commit").read_text() == "v1-2-gabc-dirty\n" and (tmp_path / "there/lib/library.so").exists()
    assert done.returncode == (size == 8), done.stderr
    if size == 8:
        lines = done.stderr.splitlines()
        assert "over 62 MiB" in lines[0] and lines[1] == f"{9 << 20} libquire-cuda.so" and len(lines) == 9
    (tmp_path / "bin/cmake").write_text('#!/bin/sh\ncase "$*" in *cuda*) echo "CUDA is not built: no nvcc"; exit 1 ;; esac\n')
    del files["bin/cmake"]
    failed = run_script(tmp_path, "scripts/gpu/pack", files, "other")
    assert failed.returncode == 1 and "no nvcc" in failed.stdout and not (tmp_path / "other").exists()


# The first build of asan is the one ahead: it takes for ever, and says who it is.
CMAKE = """#!/bin/sh
case "$*" in *"--build --preset asan"*) [ -e ahead ] || { echo $$ >name && mv name ahead && exec sleep 10000; } ;; esac
echo "$*" >>built
"""


def ends(pid):
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 60)[0])
    finally:
        os.close(process)


@pytest.mark.parametrize("tests_end", [0, 1])
def test_what_is_built_ahead_ends_where_its_stage_begins_and_where_the_script_ends(tmp_path, tests_end):
    stubs = {name: "#!/bin/sh\n" for name in ("scripts/setup", "scripts/fetch-demo-model", "scripts/fetch-test-vocabularies", "bin/ctest",
                                              "scripts/skipped")}
    python = f"#!/bin/sh\nuntil [ -e ahead ]; do sleep 0.05; done\necho done\nexit {tests_end}\n"
    files = {**stubs, **CACHE, "scripts/jobs": "#!/bin/sh\necho 1\n", ".venv/bin/python": python, "bin/cmake": CMAKE}
    done = run_script(tmp_path, "scripts/test", files, "release", "asan")
    assert done.returncode == tests_end, done.stdout + done.stderr
    built = [line for line in (tmp_path / "built").read_text().splitlines() if line.startswith("--build --preset asan")]
    assert len(built) == (1 if tests_end == 0 else 0)
    assert ends(int((tmp_path / "ahead").read_text()))


V1 = "4:memory:/m\n3:cpu,cpuacct:/docker/c\n0::/\n"
LARGE = "MemTotal: 990000000 kB\n"


@pytest.mark.parametrize("jobs, files", [
    (9, {"proc/self/cgroup": "0::/a/b\n"}),
    (9, {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}),
    (3, {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "250000 100000\n"}),
    (1, {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "50000 100000\n"}),
    (2, {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
         "sys/fs/cgroup/a/cpu.max": "200000 100000\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"}),
    (2, {"proc/self/cgroup": "0::/of/the/host\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}),
    (2, {"sys/fs/cgroup/cpu.max": "200000 100000\n"}),
    (2, {"proc/self/cgroup": "0::a\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}),
    (9, {"proc/self/cgroup": V1, "sys/fs/cgroup/cpu,cpuacct/docker/c/cpu.cfs_quota_us": "-1\n",
         "sys/fs/cgroup/cpu,cpuacct/docker/c/cpu.cfs_period_us": "100000\n"}),
    (4, {"proc/self/cgroup": V1, "sys/fs/cgroup/cpu,cpuacct/docker/c/cpu.cfs_quota_us": "350000\n",
         "sys/fs/cgroup/cpu,cpuacct/docker/c/cpu.cfs_period_us": "100000\n"}),
    (4, {"proc/self/cgroup": "3:cpuacct,cpu:/c\n", "sys/fs/cgroup/cpu/c/cpu.cfs_quota_us": "400000\n",
         "sys/fs/cgroup/cpu/c/cpu.cfs_period_us": "100000\n"}),
    (5, {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/memory.max": "10250000000\n"}),
    (6, {"proc/self/cgroup": V1, "sys/fs/cgroup/memory/m/memory.limit_in_bytes": "12300000000\n",
         "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}),
    (7, {"proc/meminfo": "MemTotal: 14000000 kB\n"}), (1, {"proc/meminfo": "MemTotal: 1000 kB\n"})])
def test_jobs_are_bounded_by_quotas_and_memory(tmp_path, jobs, files):
    write(tmp_path, {"proc/meminfo": LARGE, "bin/nproc": "#!/bin/sh\necho 9\n", **files})
    (tmp_path / "bin/nproc").chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    assert int(subprocess.check_output([ROOT / "scripts/jobs", tmp_path], text=True, env={**os.environ, "PATH": path})) == jobs


def test_jobs_beside_other_work_have_more_memory_each(tmp_path):
    write(tmp_path, {"proc/meminfo": "MemTotal: 14000000 kB\n", "bin/nproc": "#!/bin/sh\necho 9\n"})
    (tmp_path / "bin/nproc").chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    command = [ROOT / "scripts/jobs", "--gb", "4", tmp_path]
    assert int(subprocess.check_output(command, text=True, env={**os.environ, "PATH": path})) == 3


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


def test_what_tsan_leaves_out_as_single_starts_no_thread():
    names = subprocess.run(["git", "ls-files", "*CMakeLists.txt"], cwd=ROOT, capture_output=True, text=True, check=True)
    sources = []
    for path in map(pathlib.Path, names.stdout.split()):
        for target in re.findall(r"^quire_test\((.*?)\)", (ROOT / path).read_text(), re.M | re.S):
            words = target.split()
            if "single" in words[words.index("LABELS") if "LABELS" in words else len(words):]:
                sources += [ROOT / path.parent / word for word in words if word.endswith(".cc")]
    assert len(sources) > 20  # the labels were found
    threads = re.compile(r"std::(jthread|thread|async)\b|#include <(thread|future)>|Threads?\b.*\.Start\(")
    assert not [str(source) for source in sources if threads.search(source.read_text())]
