"""A guest: a Linux of its own, for tests of what the kernel of this host may not have, or survive.

User Mode Linux is a kernel that runs as an ordinary process: it needs neither virtualization nor a
disk, boots in two seconds, and sees the files of the host, read-only. It has one processor, and a
system call takes several times as long as outside.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

INIT = Path(__file__).with_name("guest.sh")
MEMORY = 1 << 30
SWAP, DISK = 128 << 20, 64 << 20


class Ended(NamedTuple):
    """How a script ended in a guest."""

    status: int
    output: str


class Guest:
    """A script that runs as root of a guest, where `scratch`, a directory of the host, is SHARED.

    Its device /dev/ubda is for swap, /dev/ubdb a disk that keeps what is on it for the next one.
    """

    SHARED = Path("/mnt/host")

    def __init__(self, script: str, scratch: Path) -> None:
        self.scratch = scratch
        (scratch / "script").write_text(script)
        for name, size in (("swap", SWAP), ("disk", DISK)):
            with (scratch / name).open("ab") as device:
                device.truncate(size)
        self.process = subprocess.Popen(
            [*_confined(scratch), *_kernel(scratch)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self, timeout: float) -> Ended:
        """Wait until the script is over. Raises subprocess.TimeoutExpired."""
        self.process.wait(timeout)
        status = self.scratch / "status"
        assert status.exists(), self.process.stdout and self.process.stdout.read()
        return Ended(int(status.read_text()), (self.scratch / "output").read_text())


@contextmanager
def running_guest(script: str, scratch: Path) -> Iterator[Guest]:
    """Give a guest. In the end its power is cut: what it has not written to its disk is gone.

    Nothing of it is left, also when this process is killed.
    """
    guest = Guest(script, scratch)
    try:
        yield guest
    finally:
        guest.process.kill()
        guest.process.communicate()  # its last process closes the pipe


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
        *("linux.uml", f"mem={MEMORY}", f"ubd0={scratch / 'swap'}", f"ubd1={scratch / 'disk'}"),
        *("con0=null,fd:1", "con=null", "root=/dev/root", "rootfstype=hostfs", "ro", "quiet"),
        *(f"GUEST={scratch}", "init=/bin/sh", "--", str(INIT)),
    ]
