"""A folder made from a package of the Python index that is pinned by version and hash: downloaded, never installed."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


class Refused(Exception):
    """What stops a script, as a sentence for the user."""


def download(package, sha256, scratch, from_source=False, python=sys.executable):
    """Fetches `package` ("name==version") into the folder `scratch`; returns the path of its wheel or source archive.

    `python` is one that has pip."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{package} --hash=sha256:{sha256}\n")
    command = [str(python), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--require-hashes", "--dest", str(scratch), "--requirement", str(requirements)]
    if from_source:
        # pip asks a source package for its metadata, for which it takes the package's build tool into a passing environment.
        command += ["--no-binary", package.split("==")[0]]
    if subprocess.run(command).returncode != 0:
        raise Refused(f"pip could not download {package} with the pinned hash (its own message is above); "
                      "check that this machine reaches its Python package index")
    return next(path for path in scratch.iterdir() if path.suffix in (".whl", ".gz"))


@contextlib.contextmanager
def replaced(folder):
    """Gives (scratch, fresh), two empty folders; `fresh` takes the place of `folder` if the block ends well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch_name:
        scratch, fresh = Path(scratch_name) / "scratch", Path(scratch_name) / "fresh"
        scratch.mkdir()
        fresh.mkdir()
        yield scratch, fresh
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
