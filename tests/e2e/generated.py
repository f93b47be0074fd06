"""The tiny models of tests/golden/generated_models.py, as folders that can be served."""
import sys

from system import ROOT

sys.path.insert(0, str(ROOT / "tests/golden"))
import generated_models  # noqa: E402  (needs tests/golden on the path)
import long_prompt  # noqa: E402

DATA = ROOT / "tests/golden/data/models"


def tiny_eight(folder):
    return generated_models.write_tiny(generated_models.TINY_EIGHT, folder / "tiny-eight")


def tiny_yarn(folder):
    return generated_models.write_tiny(generated_models.TINY_YARN, folder / "tiny-yarn", generated_models.YARN_GAINS)
