"""Processes of Linux: who they are, what descends from them, how to signal just the right one."""

import ctypes
import functools
import os
import pwd
import select
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import NamedTuple

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_CHILD_SUBREAPER = 36
READ_SIZE = 1 << 16
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Identity(NamedTuple):
    """One process for all times: a pid alone is used again, these four together are not."""

    host: str
    boot_id: str
    pid: int
    start_ticks: int

    def is_alive(self) -> bool | None:
        """Say whether the process runs; None when it cannot be known from here.

        A zombie is over. A boot that has ended took its processes along.
        """
        if self.host != host():
            return None
        if self.boot_id != boot_id():
            return False
        entry = stat_of(self.pid)
        return entry is not None and entry.start_ticks == self.start_ticks and not entry.is_zombie

    def open_pidfd(self) -> int | None:
        """Return a pidfd of the process, or None when it is over or not of this machine."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return None
        # Checked after the pidfd is open: from here on it cannot become another process.
        if self.is_alive():
            return pidfd
        os.close(pidfd)
        return None


class Stat(NamedTuple):
    """A line of `/proc/PID/stat`, see proc_pid_stat(5); times in clock ticks since boot."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start_ticks: int

    @property
    def is_zombie(self) -> bool:
        """Whether the process has ended already and only waits to be reaped."""
        return self.state in "ZX"


def read_file(path: str) -> bytes:
    """Return what is in a small file, at a third of the price of `open`. Raises OSError.

    A FIFO that somebody put in its place does not hold us up.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        content = b""
        while block := os.read(fd, READ_SIZE):
            content += block
    finally:
        os.close(fd)
    return content


@functools.cache
def host() -> str:
    """Return the name of this machine."""
    return os.uname().nodename


@functools.cache
def boot_id() -> str:
    """Return what tells this boot of the machine from every other."""
    return read_file("/proc/sys/kernel/random/boot_id").decode().strip()


def identity_of(pid: int) -> Identity:
    """Return the identity of a process that is known to exist. Raises ProcessLookupError."""
    entry = stat_of(pid)
    if entry is None:
        raise ProcessLookupError(f"there is no process {pid}")
    return Identity(host(), boot_id(), pid, entry.start_ticks)


def stat_of(pid: int) -> Stat | None:
    """Return the state of a process, None when there is none."""
    try:
        line = read_file(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in brackets, may hold anything: also brackets and spaces.
    fields = line[line.rindex(b")") + 2 :].split()
    parent, group, session = (int(field) for field in fields[1:4])
    return Stat(pid, fields[0].decode(), parent, group, session, int(fields[19]))


def all_processes() -> Iterator[Stat]:
    """Yield every process that can be seen from here."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (entry := stat_of(int(name))):
            yield entry


def children() -> list[int]:
    """Return the pids of the children of this (single-threaded) process, zombies included."""
    pid = os.getpid()
    try:
        return [int(child) for child in read_file(f"/proc/self/task/{pid}/children").split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [entry.pid for entry in all_processes() if entry.parent == pid]


def members(leader: Identity, mark: bytes) -> list[Identity]:
    """Find everything that belongs to a task whose TaskRunner is gone, its leader included.

    A process belongs to it by its session while the leader lives (later its number may be used
    again), by its ancestors, or by `mark`, an entry (`NAME=value`) of the environment it was
    started with: daemons keep that one.
    """
    session = leader.pid if leader.is_alive() else None
    entries = {entry.pid: entry for entry in all_processes() if not entry.is_zombie}
    found = {
        entry.pid
        for entry in entries.values()
        if entry.session == session or mark in environment_of(entry.pid)
    }
    grown = True
    while grown:
        more = {pid for pid, entry in entries.items() if entry.parent in found} - found
        found |= more
        grown = bool(more)
    found.discard(os.getpid())
    return [Identity(host(), boot_id(), pid, entries[pid].start_ticks) for pid in sorted(found)]


def environment_of(pid: int) -> list[bytes]:
    """Return the variables that a process was started with, each `NAME=value`."""
    return _words_in(f"/proc/{pid}/environ")


def arguments_of(pid: int) -> list[bytes]:
    """Return the arguments that a process was started with."""
    return _words_in(f"/proc/{pid}/cmdline")


def _words_in(path: str) -> list[bytes]:
    try:
        return read_file(path).rstrip(b"\0").split(b"\0")
    except OSError:  # another user's, or just gone: not ours to signal either way
        return []


def send_signal(process: Identity, number: int) -> bool:
    """Signal exactly this process, or nothing; say whether it was there."""
    pidfd = process.open_pidfd()
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, as another user
        return True
    finally:
        os.close(pidfd)
    return True


def has_ended(pidfd: int, timeout: float | None) -> bool:
    """Say whether a process has ended, after `timeout` seconds at most; None waits until it has.

    Not with select(2), which knows 1024 descriptors.
    """
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Let daemons among the descendants become children of this process, not of init."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Have this process killed when its parent ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def restore_signals(keep: Collection[int] = (), block: Collection[int] = ()) -> None:
    """Give the process the signal dispositions and the mask that a program expects.

    The dispositions of those in `keep` stay as they are; those in `block` are blocked.
    """
    for number in unusual_signals():
        if number not in keep:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, block)


@functools.cache
def unusual_signals() -> tuple[int, ...]:
    """Return the signals that this process, or who started it, handles or ignores.

    Remembered, also over a fork, as asking for all of them is slow: what is changed later is
    not in it.
    """
    usual = (signal.SIG_DFL, None)  # None: set by something else than Python, and let alone
    numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    return tuple(number for number in numbers if signal.getsignal(number) not in usual)


@functools.cache
def short_environment() -> dict[str, str]:
    """Return what a program needs to know of its user and the system, and nothing else."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/",
    }
    with suppress(KeyError):  # a user that only has a number, as in many containers
        user = pwd.getpwuid(os.getuid())
        environment |= {
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
            "SHELL": user.pw_shell or "/bin/sh",
        }
    return environment
