"""Real podman for the tests: a storage of its own, and images made of what this host has.

No registry is ever asked, and nothing of the host's own podman is touched.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLAIN, PYTHON = "localhost/plain", "localhost/python"
"""An image of busybox alone, and one with bash, Python and the Task Runner too."""

NOT_NEEDED = (
    *("test", "idlelib", "tkinter", "ensurepip", "lib2to3", "site-packages", "turtledemo"),
    *("config-*", "*.opt-?.pyc", "_test*.so"),
)

STORAGE = """
[storage]
driver = "{driver}"
graphroot = "{root}/graph"
runroot = "{root}/run"
"""

CONTAINERS = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
tmp_dir = "{root}/tmp"
"""


class PodmanHere:
    """A podman whose storage, locks and events are below one directory."""

    def __init__(self, root: Path, driver: str) -> None:
        self.root = root
        (root / "storage.conf").write_text(STORAGE.format(root=root, driver=driver))
        (root / "containers.conf").write_text(CONTAINERS.format(root=root))
        self.command = (
            "env",
            f"CONTAINERS_CONF={root}/containers.conf",
            f"CONTAINERS_STORAGE_CONF={root}/storage.conf",
            "podman",
        )

    def __call__(self, *words: str, check: bool = True) -> str:
        """Run podman, return what it says."""
        done = subprocess.run(
            [*self.command, *words], capture_output=True, text=True, check=False, timeout=120
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def make_image(self, name: str, tree: Path) -> None:
        """Import a directory as an image."""
        with subprocess.Popen(["tar", "-C", tree, "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                [*self.command, "import", "-", name],
                stdin=tar.stdout,
                capture_output=True,
                check=True,
                timeout=300,
            )

    def containers(self) -> list[str]:
        """Return the names of all containers, running or not."""
        return self("ps", "--all", "--format", "{{.Names}}").split()

    def unnoticed(self) -> list[str]:
        """Return what the runtime has of containers of this storage, or had when it was killed."""
        done = subprocess.run(["runc", "list", "--format", "json"], capture_output=True, check=True)
        known: list[dict[str, str]] = json.loads(done.stdout) or []
        return [one["id"] for one in known if one["bundle"].startswith(f"{self.root}/")]

    def state(self, name: str) -> dict[str, object]:
        words = self("inspect", "--type", "container", "--format", "{{json .State}}", name)
        state: dict[str, object] = json.loads(words)
        return state

    def remove_all(self) -> None:
        """Remove containers, images and storage."""
        self("rm", "--all", "--force", "--time", "0", check=False)
        self("rmi", "--all", "--force", check=False)
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in [mount for mount in mounts if mount.startswith(f"{self.root}/")]:
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(self.root)


@contextmanager
def podman_here() -> Iterator[PodmanHere]:
    """Give a podman with both images; nothing of it is left afterwards."""
    root = Path(tempfile.mkdtemp(prefix="tr-podman-"))  # short: podman has a limit of its own
    podman = PodmanHere(root, "overlay")
    if not podman("info", check=False):
        podman = PodmanHere(root, "vfs")
    try:
        tree = root / "tree"
        _add_busybox(tree)
        podman.make_image(PLAIN, tree)
        _add_python(tree)
        podman.make_image(PYTHON, tree)
        shutil.rmtree(tree)
        yield podman
    finally:
        podman.remove_all()


def _add_busybox(tree: Path) -> None:
    (tree / "bin").mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox
    shutil.copy(busybox, tree / "bin" / "busybox")
    _copy_libraries(tree, Path(busybox))
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for name in applets.stdout.split():
        if name != "busybox":
            (tree / "bin" / name).symlink_to("busybox")


def _add_python(tree: Path) -> None:
    """Add bash, and this Python with its standard library, at the places where they are here."""
    python = Path(os.path.realpath(sys.executable))
    modules = Path(os.__file__).parent
    _copy(Path("/bin/bash"), tree, Path("/bin/bash"))
    _copy(python, tree, python)
    (tree / "bin" / "python3").symlink_to(python)
    extensions = list(modules.glob("lib-dynload/*.so"))
    shutil.copytree(
        modules,
        tree / modules.relative_to("/"),
        ignore=shutil.ignore_patterns(*NOT_NEEDED),
    )
    packages = tree / modules.relative_to("/") / "site-packages" / "task_runner"
    shutil.copytree(ROOT / "task_runner", packages, ignore=shutil.ignore_patterns("doc"))
    _copy_libraries(tree, Path("/bin/bash"), python, *extensions)


def _copy_libraries(tree: Path, *programs: Path) -> None:
    """Copy what they are linked to; a static program, of which ldd says so and fails, has none."""
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    words = {word for line in said.splitlines() if line.startswith("\t") for word in line.split()}
    for library in sorted(word for word in words if word.startswith("/")):
        _copy(Path(os.path.realpath(library)), tree, Path(library))


def _copy(source: Path, tree: Path, target: Path) -> None:
    place = tree / target.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, place)
