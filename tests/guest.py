"""A guest: a Linux of its own, for tests of what the kernel of this host may not have.

User Mode Linux is a kernel that runs as an ordinary process: it needs neither virtualization nor a
disk, boots in two seconds, and sees the files of the host, read-only. It has one processor, and a
system call takes several times as long as outside.
"""

import subprocess
from pathlib import Path
from typing import NamedTuple

INIT = Path(__file__).with_name("guest.sh")
MEMORY = 1 << 30
SWAP = 128 << 20


class Ended(NamedTuple):
    """How a script ended in a guest."""

    status: int
    output: str


def run_in_guest(script: str, scratch: Path, timeout: float) -> Ended:
    """Run a shell script as root of a guest; `scratch` is a directory that the two can share.

    The guest is gone afterwards, whatever has become of it, also when this process is killed.
    Raises subprocess.TimeoutExpired.
    """
    (scratch / "script").write_text(script)
    with (scratch / "swap").open("wb") as swap:
        swap.truncate(SWAP)
    console = subprocess.run(
        [*_confined(scratch), *_kernel(scratch)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    status = scratch / "status"
    assert status.exists(), console.stdout + console.stderr
    return Ended(int(status.read_text()), (scratch / "output").read_text())


def _confined(scratch: Path) -> list[str]:
    """Return what runs the kernel where it can write to nothing else, and ends all it has started.

    Its memory is a file in /dev/shm.
    """
    return [
        *("bwrap", "--unshare-pid", "--die-with-parent", "--ro-bind", "/", "/"),
        *("--proc", "/proc", "--dev", "/dev", "--bind", str(scratch), str(scratch)),
    ]


def _kernel(scratch: Path) -> list[str]:
    """Return the kernel with its parameters, of which it passes on what it does not know."""
    return [
        *("linux.uml", f"mem={MEMORY}", f"ubd0={scratch / 'swap'}", "con0=null,fd:1", "con=null"),
        *("root=/dev/root", "rootfstype=hostfs", "ro", "quiet"),
        *(f"GUEST={scratch}", "init=/bin/sh", "--", str(INIT)),
    ]
