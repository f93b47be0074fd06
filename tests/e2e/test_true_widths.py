"""QwQ-32B's true widths with the whole vocabulary: the part of true_widths_test.cc that takes 4.1 GB."""
import subprocess

import pytest

from system import BIN, ROOT


@pytest.mark.full
def test_one_layer_with_the_whole_vocabulary():
    ended = subprocess.run([BIN.parent / "tests/golden/true_widths_test", "--gtest_also_run_disabled_tests",
                            "--gtest_filter=DISABLED_WholeVocabulary*"], cwd=ROOT, capture_output=True, text=True,
                           timeout=3600)
    assert ended.returncode == 0 and "[  PASSED  ] 1 test" in ended.stdout, ended.stdout + ended.stderr
