"""That the asan build, which is clang's, can fail: -Wthread-safety over base/core/mutex.h finds each planted mistake."""
import json
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
GOOD = """
#include "base/core/mutex.h"
class Box {
 public:
  int Read() { quire::MutexLock lock(&mutex_); return value_; }
  void Wait() {
    quire::MutexLock lock(&mutex_);
    const auto set = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return value_ > 0; };
    mutex_.Await(absl::Condition(&set));
  }
  void Twice() ABSL_LOCKS_EXCLUDED(mutex_) { Read(); Wait(); }
 private:
  quire::Mutex mutex_;
  int value_ ABSL_GUARDED_BY(mutex_) = 0;
};
"""
PLANTED = {
    "a read without the lock": ("quire::MutexLock lock(&mutex_); return value_;", "return value_;"),
    "a wait without the lock": ("  void Wait() {\n    quire::MutexLock lock(&mutex_);", "  void Wait() {"),
    "a call under the lock that takes it": ("{ Read(); Wait(); }", "{ quire::MutexLock lock(&mutex_); Twice(); }"),
}


def complaints(tmp_path, code):
    source = tmp_path / "box.cc"
    source.write_text(code)
    done = subprocess.run(["clang++-14", "-std=c++20", "-fsyntax-only", "-Wthread-safety", f"-I{ROOT}", source],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_right_locking_passes(tmp_path):
    assert complaints(tmp_path, GOOD) == ""


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_mistake_is_found(tmp_path, mistake):
    right, wrong = PLANTED[mistake]
    assert right in GOOD
    assert "-Wthread-safety" in complaints(tmp_path, GOOD.replace(right, wrong))


def test_the_preset_makes_it_an_error():
    build = (ROOT / "CMakeLists.txt").read_text()
    presets = json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]
    assert next(p for p in presets if p["name"] == "asan")["cacheVariables"]["CMAKE_CXX_COMPILER"].startswith("clang++")
    assert "$<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>" in build and "$<$<BOOL:${QUIRE_WERROR}>:-Werror>" in build
