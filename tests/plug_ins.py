"""Installing the examples of the documentation as a user would."""

import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path


def install(example: str, scratch: Path) -> Path:
    """Install a package of `task_runner/doc/`; return the directory to have on `sys.path`."""
    source, target = scratch / "source", scratch / "site"
    with resources.as_file(resources.files("task_runner") / "doc" / example) as package:
        # A copy, because setuptools builds inside of the source.
        shutil.copytree(package, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--target", str(target), str(source)], check=True)
    return target
