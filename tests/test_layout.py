"""The shape of the source: who may include whom, no cycles, every folder on the map, conditional compilation and exits in
their few places, headers that say what they are, functions, files and lines of a readable size."""
import ast
import json
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

# folder: what it may include beside itself (ARCHITECTURE 3). "proto" stands for generated code.
ALLOWED = {
    "base/core": [],
    "base/async": ["base/core"],
    "base/http": ["base/core", "base/async"],
    "base/net": ["base/core"],
    "base/process": ["base/core"],
    "kernels": ["base/core"],
    "kernels/cpu": ["base/core", "kernels"],
    "kernels/cuda": ["base/core", "kernels"],
    "gateway/structured": ["base/core", "gateway/text"],
    "gateway/text": ["base/core", "proto"],
    "gateway/accounting": ["base/core", "proto"],
    "gateway/rpc": ["base/core", "base/net", "proto"],
    "gateway/generation": ["base/core", "base/async", "proto", "base/http", "gateway/text", "gateway/accounting", "gateway/rpc"],
    "gateway/api": ["base/core", "base/async", "proto", "base/http", "gateway/structured", "gateway/text", "gateway/accounting",
                    "gateway/rpc", "gateway/generation"],
    "gateway/page": ["base/core", "base/http"],
    "gateway": ["base/core", "base/net", "proto", "base/http", "gateway/page", "gateway/text", "gateway/accounting", "gateway/rpc",
                "gateway/generation", "gateway/api"],
    "coordinator/ledger": ["base/core", "proto"],
    "coordinator/fleet": ["base/core", "base/process", "proto"],
    "coordinator/routing": ["base/core", "proto", "coordinator/ledger", "coordinator/fleet"],
    "coordinator/api": ["base/core", "base/async", "base/http", "base/net", "proto", "coordinator/ledger", "coordinator/fleet",
                        "coordinator/routing"],
    "coordinator": ["base/core", "base/http", "base/net", "base/process", "proto", "coordinator/ledger", "coordinator/fleet", "coordinator/routing",
                    "coordinator/api"],
    "worker/cache": ["base/core"],
    "worker/engine": ["base/core", "kernels", "worker/cache"],
    "worker/parallel": ["base/core", "base/process", "kernels", "worker/cache", "worker/engine"],
    "worker/model": ["base/core", "kernels", "worker/cache", "worker/engine", "worker/parallel"],
    "worker/grammar": ["base/core", "worker/engine"],
    "worker/rpc": ["base/core", "base/net", "base/process", "proto", "kernels", "worker/cache", "worker/engine", "worker/parallel",
                   "worker/model", "worker/grammar"],
    "worker": ["base/core", "base/http", "base/net", "proto", "kernels", "worker/cache", "worker/engine", "worker/parallel",
               "worker/model", "worker/grammar", "worker/rpc"],
    "examples": ["proto"],
    "cli": ["base/core", "base/net", "base/process"],
}
# Tests reach where they must; a test beside the code keeps to its folder's rules plus its own fakes.
CONDITIONALS = ["kernels/backend_factory", "kernels/cpu/", "kernels/cuda/device/device.h", "/main.cc", "tests/"]


def tracked(*endings):
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [name for name in names if name.endswith(endings)]


def folder_of(name):
    """The longest folder of ALLOWED that holds the file (kernels/reference belongs to kernels)."""
    parent = str(pathlib.PurePosixPath(name).parent)
    while parent not in ALLOWED and parent != ".":
        parent = str(pathlib.PurePosixPath(parent).parent)
    return parent


def sources():
    return [name for name in tracked(".h", ".cc", ".cu", ".cuh") if not name.startswith("tests/")]


def is_test(name):
    """x_test.cc, testing/, and what stands beside tests: x_test_support.cc, test_util.h, testdata.h."""
    return "/testing/" in name or bool(re.search(r"(^|[/_])test(_|data|\.)", name))


def includes(name):
    text = (ROOT / name).read_text()
    return re.findall(r'^#include "((?:base|kernels|gateway|coordinator|worker|cli|proto|tests)/[^"]+)"', text, re.M)


def test_includes_go_downwards():
    wrong = []
    for name in sources():
        folder = folder_of(name)
        for include in includes(name):
            target = "proto" if include.startswith("proto/") else folder_of(include)
            if name == "kernels/backend_factory.cc" and target == "kernels/cpu":
                continue  # the one place that knows every backend
            if target != folder and target not in ALLOWED[folder] and not (is_test(name) and target == "base/net"):
                wrong.append(f"{name} includes {include}")
    assert not wrong, "\n".join(wrong)


def test_production_code_includes_nothing_of_tests():
    wrong = [f"{name} includes {include}" for name in sources() if not is_test(name)
             for include in re.findall(r'^#include "([^"]+)"', (ROOT / name).read_text(), re.M)
             if is_test(include) or include.startswith("tests/")]
    assert not wrong, "\n".join(wrong)


def test_no_include_cycle():
    edges = {name: [i for i in includes(name) if not i.startswith("proto/")] for name in sources()}
    state = {}

    def visit(name, path):
        if state.get(name) == "done":
            return
        assert state.get(name) != "open", "cycle: " + " -> ".join([*path, name])
        state[name] = "open"
        for include in edges.get(name, []):
            visit(include, [*path, name])
        state[name] = "done"
    for name in edges:
        visit(name, [])


def test_every_folder_is_in_the_map():
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    folders = {str(pathlib.PurePosixPath(name).parent) for name in tracked(".h", ".cc", ".py", ".proto", ".md")}
    folders -= {"."}
    missing = sorted(f for f in folders if not f.startswith("tests/golden/data") and f"`{f}" not in text)
    assert not missing, f"docs/ARCHITECTURE.md does not name: {missing}"


def test_the_map_names_no_folder_that_is_gone():
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    named = re.findall(r"`((?:base|proto|kernels|gateway|coordinator|worker|cli|tests|scripts|docs)(?:/[a-z_0-9]+)*)`",
                       text)
    gone = sorted({name for name in named if not list(ROOT.glob(name + "*"))})
    assert not gone


def test_conditional_compilation_only_in_its_places():
    wrong = [name for name in tracked(".h", ".cc")
             if re.search(r"^#\s*(if|ifdef|ifndef)\b", (ROOT / name).read_text(), re.M)
             and not any(place in name for place in CONDITIONALS)]
    assert not wrong, wrong


@pytest.mark.parametrize("ending", [".h"])
def test_headers_say_what_they_are(ending):
    wrong = [name for name in sources() if name.endswith(ending)
             and not (ROOT / name).read_text().startswith("//")]
    assert not wrong, wrong


# Calls that sleep, in C++: whoever waits does so for a thing.
SLEEPS = re.compile(r"\bsleep_(?:for|until)\b|\bSleepFor\(|\b(?:clock_)?(?:u|nano)?sleep\(|\bp?select\((?:0|nullptr|NULL),|"
                    r"\bp?poll\((?:nullptr|NULL),")
# Whose sleep is what it is for.
SLEEPERS = {
    "tests/mock_group/main.cc": 1,        # stands for the computation
    "worker/parallel/tcp/sockets.cc": 1,  # between two tries to reach a host: nobody tells when a name or a peer is there
}


def test_nobody_sleeps():
    found = {name: len(calls) for name in tracked(".h", ".cc", ".cu", ".c")
             if (calls := SLEEPS.findall(re.sub(r"//.*", "", (ROOT / name).read_text())))}
    assert found == SLEEPERS


@pytest.mark.parametrize("call", ["std::this_thread::sleep_for(x);", "sleep_until(x);", "absl::SleepFor(x);", "sleep(1);", "::usleep(1);",
                                  "nanosleep(&x, nullptr);", "clock_nanosleep(CLOCK_MONOTONIC, 0, &x, nullptr);",
                                  "select(0, nullptr, nullptr, nullptr, &x);", "poll(nullptr, 0, 5);"])
def test_a_sleep_is_seen(call):
    assert SLEEPS.search(call)
    assert not SLEEPS.search("SleepForPieces(x); AsleepNow(); poll(fds, 3, -1); oversleep(x); select(n, &r, nullptr, nullptr, &x);")


def test_no_forbidden_calls():
    """std::regex and raw absl mutexes (base/core/mutex.h says why)."""
    forbidden = re.compile(r"std::regex|absl::Mutex|#include <mutex>")
    allowed = ["base/core/mutex.h"]
    wrong = [name for name in sources() if name not in allowed and forbidden.search((ROOT / name).read_text())]
    assert not wrong, wrong


def test_metrics_are_written_and_not_read():
    """State lives in its owner; a metric that is read back would be a second home of it."""
    wrong = {name for name in sources() if not is_test(name) and re.search(r"\.Value\(\)", (ROOT / name).read_text())}
    assert wrong <= {"coordinator/api/coordinator_metrics.cc"}, wrong


def test_descriptors_are_closed_by_their_owners():
    """base/core/fd.h: an early return leaks none."""
    call = re.compile(r"(?<![\w.>:])(?:::)?close\(")
    wrong = [name for name in tracked(".h", ".cc") if name != "base/core/fd.h" and not name.endswith("_test.cc")
             and call.search(re.sub(r"//.*", "", (ROOT / name).read_text()))]
    assert set(wrong) <= {"coordinator/coordinator_test_support.cc", "coordinator/ledger/sqlite.cc"}, wrong


def test_what_tests_share_has_names_of_its_own():
    """No two classes of one name among the headers of tests: each says what it is."""
    places = {}
    for name in filter(is_test, tracked(".h")):
        for found in re.findall(r"^(?:class|struct)(?: alignas\(\d+\))? (\w+)[^;{(]*\{", (ROOT / name).read_text(), re.M):
            places.setdefault(found, []).append(name)
    twice = {found: names for found, names in places.items() if len(names) > 1}
    assert not twice, twice


def production(*endings):
    """On a GPU what a kernel is made of has its own names and forms (kernels/cuda/README.md)."""
    return [name for name in sources() if name.endswith(endings) and not is_test(name) and not name.startswith("kernels/cuda/")]


def test_a_type_has_one_name_in_its_program():
    """Who reads a name need not ask which one: no header of a program, or of what programs share, names a type as another
    does. (.inl.h: forms of one thing, of which each CPU has one.)"""
    types = re.compile(r"^(?:class|struct|enum(?: class)?)(?: alignas\(\d+\))? (\w+)[^;{(]*\{", re.M)
    places = {}
    for name in production(".h"):
        for found in [] if name.endswith(".inl.h") else types.findall((ROOT / name).read_text()):
            places.setdefault((name.split("/")[0], found), []).append(name)
    twice = {found: names for found, names in places.items() if len(names) > 1}
    assert len(places) > 200 and not twice, twice


# Helpers that once stood in several places, too short to be told by what they do.
ONCE = ["Absl", "AtLine", "AppendJsonEscaped", "JsonQuoted", "ReadWholeFile", "WriteFileAtomically"]


def test_no_function_is_copied():
    """A second implementation of what there is, word for word. (What differs by its types alone is a template.)"""
    places, names = {}, {}
    for tag in cpp_tags(*production(".h", ".cc")):
        if "end" not in tag or tag["name"].startswith("__anon"):
            continue
        names.setdefault(tag["name"], set()).add(tag["path"])
        lines = (ROOT / tag["path"]).read_text().splitlines()[tag["line"] - 1:tag["end"]]
        body = "".join(re.sub(r"//.*", "", line) for line in lines).partition("{")[2]
        places.setdefault(re.sub(r"\s", "", body), set()).add(f"{tag['path']}: {tag['name']}")
    copied = [sorted(where) for body, where in places.items() if len(where) > 1 and len(body) > 100]
    assert len(places) > 2000 and not copied, copied
    assert not {name: paths for name, paths in names.items() if name in ONCE and len(paths) > 1}


# Who may end the process where it stands, and how often: each place says why beside the call. main.cc returns.
EXITS = {
    "base/core/ids.cc": 1,          # no randomness
    "base/process/child.cc": 2,     # between fork and exec
    "coordinator/coordinator.cc": 1,  # the ledger is not ours any more
    "kernels/cpu/amx_probe.cc": 1,  # in the child that tries AMX
    "kernels/shape_check.cc": 1,    # a kernel was called against its contract
    "worker/rank.cc": 2,            # a lost group: nothing may be waited for
    "worker/rank_load.cc": 1,       # a signal while it loads: the same
}


def test_nothing_exits_in_the_middle():
    call = re.compile(r"\b(?:_exit|_Exit|exit|quick_exit|abort|terminate)\(")
    found = {name: len(calls) for name in sources() if name.endswith((".h", ".cc")) and not is_test(name)
             and (calls := call.findall(re.sub(r"//.*", "", (ROOT / name).read_text())))}
    assert found == EXITS


def test_no_look_at_the_disk_throws():
    """Whoever may not look there is told so: std::filesystem's calls take an error_code, and a range-for over a folder
    throws at its next entry."""
    calls = re.compile(r"(?:std::filesystem|fs)::(?:exists|is_\w+|file_size|status|create_\w+|remove\w*|rename|copy\w*|"
                       r"read_symlink|weakly_canonical|canonical|absolute|relative|current_path|space|last_write_time|"
                       r"directory_iterator \w+|temp_directory_path)(\((?:[^()]|\([^()]*\))*\))")
    of_entry = re.compile(r"(?:\.|->)(?:is_regular_file|is_directory|is_symlink|exists|file_size)(\(\w*\))")
    wrong = []
    for name in sources():
        if is_test(name) or "test_" in name:
            continue
        text = (ROOT / name).read_text()
        found = [found.group() for pattern in (calls, of_entry) for found in pattern.finditer(text)
                 if not re.search(r"\b(error|unseen|failed)\b", found.group(1))]
        found += re.findall(r"for \([^;)]*: [^;)]*directory_iterator[^;]*\)", text)
        wrong += [f"{name}: {call}" for call in found]
    assert not wrong, "\n".join(wrong)


def test_no_co_await_in_a_loop_condition():
    """g++ 12 compiles it wrongly: `this` is garbage afterwards."""
    wrong = [name for name in sources() if re.search(r"(while|for) \([^)]*co_await", (ROOT / name).read_text())]
    assert not wrong, wrong


def test_files_have_one_subject():
    long = [f"{name}: {count}" for name in tracked(".h", ".cc", ".py")
            if (count := len((ROOT / name).read_text().splitlines())) > 450]
    assert not long, long


LONGEST_FUNCTION = 60
# The functions that are longer, with their length today: it may only shrink, and an entry that is not needed goes.
LONG_FUNCTIONS = {}


def cpp_tags(*names):
    """Of each function, by universal-ctags."""
    tags = subprocess.run(["ctags", "--languages=C++", "--c++-kinds=f", "--fields=+ne", "--output-format=json", "-f", "-",
                           *names], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return map(json.loads, tags.splitlines())


def cpp_functions():
    """("file function", lines) of each."""
    for tag in cpp_tags(*tracked(".h", ".cc")):
        if "end" in tag:
            yield f"{tag['path']} {tag['name']}", tag["end"] - tag["line"] + 1


def python_functions():
    for name in tracked(".py"):
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(node, ast.FunctionDef):
                yield f"{name} {node.name}", node.end_lineno - node.lineno + 1


def test_functions_fit_on_a_screen():
    lengths = [*cpp_functions(), *python_functions()]
    assert len(lengths) > 1000  # the tools saw the code
    long = {}
    for name, lines in lengths:
        if lines > LONGEST_FUNCTION:
            long[name] = max(lines, long.get(name, 0))
    assert long == LONG_FUNCTIONS, "split what is new; where one has shrunk, lower or drop its entry"


def test_lines_of_docs_can_be_read():
    long = [f"{name}:{number}: {len(line)}" for name in tracked(".md")
            for number, line in enumerate((ROOT / name).read_text().splitlines(), 1) if len(line) > 160]
    assert not long, long


def test_nothing_names_a_machine_or_a_registry():
    wrong = []
    for name in tracked(".h", ".cc", ".py", ".md", ".txt", ".json", ".proto", "setup", "serve", "test", "run"):
        if name.startswith("tests/golden/data") or name == "tests/test_layout.py":
            continue
        if re.search(r"/work/|pypi\.org|pythonhosted|/opt/wheels|\.\./shared", (ROOT / name).read_text()):
            wrong.append(name)
    assert not wrong, wrong
