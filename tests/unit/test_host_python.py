"""The Python of the host can be executed where only what it says is mounted."""

import os
import subprocess
import sys
from pathlib import Path

from task_runner.isolation import host_python


def test_everything_it_needs_is_there() -> None:
    targets = {target: source for source, target in host_python.mounts()}
    assert os.path.samefile(targets[f"{host_python.PLACE}/python"], sys.executable)
    for name in ("loader", "libraries0", "package/task_runner"):
        assert os.path.exists(targets[f"{host_python.PLACE}/{name}"])


def test_its_own_loader_starts_it(tmp_path: Path) -> None:
    """The same words, with the mounts as links below another root."""
    for source, target in host_python.mounts():
        link = tmp_path / target.removeprefix("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source)
    place = f"{tmp_path}{host_python.PLACE}"
    argv = host_python.argv("import os, select; print(os.__file__)", "argument")
    moved = [word.replace(host_python.PLACE, place) for word in argv]
    env = {"PYTHONHOME": place}
    done = subprocess.run(moved, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(place)
