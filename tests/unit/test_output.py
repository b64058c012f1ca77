import errno
import functools
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from task_runner.lib.output import MARK, MISSING, MirrorBusyError, Output, make_fifo
from task_runner.lib.rest import KEPT, Rest, remove_rest
from task_runner.lib.task_dir import LogFiles
from tests.waiting import wait_until


class Pump:
    """An output in a directory, and the end of its FIFO on which a machine writes."""

    def __init__(
        self, directory: Path, mirror: int | None = None, limit: int | None = None
    ) -> None:
        self.log = directory / "log"
        self.index = directory / "index"
        names = ("log", "index", "fifo", "rest-")
        files = LogFiles(*(str(directory / name) for name in names))
        self.output = Output(files, mirror, limit)
        self.machine = os.open(files.fifo, os.O_RDWR | os.O_NONBLOCK)

    def say(self, data: bytes) -> None:
        """Write all of it, and pump whenever the FIFO is full."""
        while data:
            try:
                data = data[os.write(self.machine, data) :]
            except BlockingIOError:
                self.output.pump()

    def drain(self) -> bytes:
        while self.moves():
            pass
        return self.log.read_bytes()

    def moves(self) -> bool:
        try:
            return self.output.pump()
        except MirrorBusyError:
            return True

    def marks(self) -> list[tuple[int, int]]:
        return list(MARK.iter_unpack(self.index.read_bytes()))

    def close(self) -> None:
        self.output.close()
        os.close(self.machine)


@pytest.fixture
def pump(tmp_path: Path) -> Iterator[Pump]:
    pump = Pump(tmp_path)
    yield pump
    pump.close()


def test_nothing_there(pump: Pump) -> None:
    assert not pump.output.pump()
    assert pump.output.size == 0
    assert not pump.index.exists()


def test_bytes_are_moved_as_they_are(pump: Pump) -> None:
    data = os.urandom(3_000_000)
    pump.say(data)
    assert pump.drain() == data
    assert pump.output.size == len(data)
    assert not pump.output.pump()


def test_an_adopter_goes_on_at_the_end_of_the_log(pump: Pump, tmp_path: Path) -> None:
    pump.say(b"one\n")
    pump.output.pump()
    pump.say(b"two\n")
    pump.output.close()
    adopter = Pump(tmp_path)
    assert adopter.output.size == 4
    adopter.say(b"three\n")
    assert adopter.drain() == b"one\ntwo\nthree\n"
    assert [offset for offset, _ in adopter.marks()] in ([0], [0, 4])
    adopter.close()
    pump.output = Pump(tmp_path).output


def test_marks_tell_when(pump: Pump) -> None:
    for line in (b"one\n", b"two\n", b"three\n"):
        pump.say(line)
        pump.output.pump()
        wait_until(lambda: select.select([], [], [], 0.012) == ([], [], []))
    offsets = [offset for offset, _ in pump.marks()]
    times = [at for _, at in pump.marks()]
    assert offsets == [0, 4, 8]
    assert times == sorted(times)
    assert times[-1] - times[0] >= 20_000


def test_marks_are_not_written_too_often(pump: Pump) -> None:
    for _ in range(500):
        pump.say(b"x")
        pump.output.pump()
    marks = pump.marks()
    assert len(marks) < 100
    assert all(b[1] - a[1] >= 9_000 for a, b in pairwise(marks))


def test_a_mirror_shows_the_same(tmp_path: Path) -> None:
    shown: list[bytes] = []
    ours, theirs = os.pipe()
    reader = threading.Thread(
        target=lambda: shown.extend(iter(lambda: os.read(ours, 1 << 20), b""))
    )
    reader.start()
    pump = Pump(tmp_path, mirror=theirs)
    data = os.urandom(1_000_000)
    begin = 0
    while begin < len(data) or pump.output.size < len(data):
        with suppress(MirrorBusyError, BlockingIOError):
            begin += os.write(pump.machine, data[begin:])
        with suppress(MirrorBusyError):
            pump.output.pump()
    wait_until(lambda: is_shown(pump.output))
    assert pump.log.read_bytes() == data
    os.close(theirs)
    reader.join(20)
    assert b"".join(shown) == data
    os.close(ours)
    pump.close()


def is_shown(output: Output) -> bool:
    """Show what is left; say whether that was possible."""
    with suppress(MirrorBusyError):
        return not output.pump()
    return False


def test_a_mirror_that_does_not_look_holds_nobody_up(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    pump = Pump(tmp_path, mirror=theirs)
    os.write(pump.machine, bytes(60_000))
    pump.output.pump()
    os.write(pump.machine, bytes(60_000))
    with pytest.raises(MirrorBusyError):
        pump.output.pump()
    assert len(os.read(ours, 1 << 20)) > 0
    wait_until(lambda: is_shown(pump.output))
    assert len(pump.log.read_bytes()) == 120_000
    os.close(theirs)
    os.close(ours)
    pump.close()


def test_a_mirror_that_broke_harms_nobody(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    pump = Pump(tmp_path, mirror=theirs)
    pump.say(b"one\ntwo\n")
    assert pump.drain() == b"one\ntwo\n"
    os.close(theirs)
    pump.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 64 KiB (these tests run as root)."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    subprocess.run(["mount", *options], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("mirrored", [False, True])
def test_on_a_full_disk_nothing_is_lost(small_disk: Path, mirrored: bool) -> None:
    mirror = os.open(os.devnull, os.O_WRONLY) if mirrored else None
    pump = Pump(small_disk, mirror)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(40_000))
    data = os.urandom(40_000)
    pump.say(data)
    with pytest.raises(OSError, match="No space left"):
        pump.drain()
    assert data.startswith(pump.log.read_bytes())
    with pytest.raises(OSError, match="No space left"):
        pump.drain()
    filler.unlink()
    assert pump.drain() == data
    assert pump.output.size == len(data)
    pump.close()
    if mirror is not None:
        os.close(mirror)


def test_at_the_limit_of_a_file_nothing_is_lost(tmp_path: Path) -> None:
    code = """
import os, resource, signal, sys
from pathlib import Path
from tests.unit.test_output import Pump
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
pump = Pump(Path(sys.argv[1]))
pump.say(b"x" * 3000)
try:
    pump.drain()
except OSError as problem:
    assert pump.output.size == 1000, pump.output.size
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    assert pump.drain() == b"x" * 3000
    print(problem.strerror)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("File too large\n", "")


def test_a_writer_is_not_killed_while_nobody_reads(tmp_path: Path) -> None:
    os.close(make_fifo(str(tmp_path / "fifo")))
    command = [
        "/bin/sh",
        "-c",
        'exec 1<>"$0"; exec head -c 200000 /dev/zero',
        str(tmp_path / "fifo"),
    ]
    with subprocess.Popen(command) as writer:
        wait_until(lambda: "pipe_write" in Path(f"/proc/{writer.pid}/wchan").read_text())
        pump = Pump(tmp_path)
        wait_until(lambda: pump.output.pump() or writer.poll() is not None)
        wait_until(lambda: len(pump.drain()) == 200_000)
        assert writer.wait(20) == 0
        pump.close()


def test_the_pipe_grows_for_who_writes_much(pump: Pump) -> None:
    pump.say(bytes(1 << 18))
    pump.drain()
    limit = int(Path("/proc/sys/fs/pipe-max-size").read_text())
    assert limit >= 1 << 20
    written = os.write(pump.machine, bytes(1 << 20))
    assert written == 1 << 20


def limited(data: bytes, limit: int) -> bytes:
    """Return what a log with this limit has to hold in the end."""
    rest = data[limit:]
    if len(rest) <= KEPT:
        return data
    begun = b"\n" if limit and data[limit - 1 : limit] != b"\n" else b""
    return data[:limit] + begun + MISSING % (len(rest) - KEPT) + rest[-KEPT:]


@pytest.mark.parametrize("limit", [0, 1, 1000, 100_000])
@pytest.mark.parametrize("size", [0, 1000, 1001, 100_000 + KEPT, 100_000 + KEPT + 1, 3_000_000])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_log_with_a_limit(tmp_path: Path, limit: int, size: int, mirrored: bool) -> None:
    mirror = os.open(os.devnull, os.O_WRONLY) if mirrored else None
    pump = Pump(tmp_path, mirror, limit)
    data = os.urandom(size)
    pump.say(data)
    assert pump.drain() == data[:limit]
    assert pump.output.dropped == max(0, size - limit - KEPT)
    pump.output.complete()
    assert pump.log.read_bytes() == limited(data, limit)
    assert pump.output.size == pump.log.stat().st_size
    remove_rest(pump.output.files.rest)
    assert list(tmp_path.glob("rest*")) == []
    pump.close()
    if mirror is not None:
        os.close(mirror)


def test_the_line_about_what_is_missing_stands_alone(tmp_path: Path) -> None:
    pump = Pump(tmp_path, limit=4)
    pump.say(b"abc\n" + b"x" * 10 + b"y" * KEPT)
    pump.drain()
    pump.output.complete()
    line = b"[task-runner: 10 bytes of output are missing here]\n"
    assert pump.log.read_bytes() == b"abc\n" + line + b"y" * KEPT
    pump.close()


@pytest.mark.parametrize("size", [900, 1000, 1001, 500_000])
def test_an_adopter_keeps_the_limit(tmp_path: Path, size: int) -> None:
    data = os.urandom(900_000)
    first = Pump(tmp_path, limit=1000)
    first.say(data[:size])
    first.drain()
    first.output.close()
    adopter = Pump(tmp_path, limit=1000)
    adopter.say(data[size:])
    adopter.drain()
    adopter.output.complete()
    assert adopter.log.read_bytes() == limited(data, 1000)
    adopter.close()
    os.close(first.machine)


@pytest.mark.parametrize("tidied", [False, True])
@pytest.mark.parametrize("written", [0, 1, 40, 30_000])
def test_an_adopter_writes_the_same_end(tmp_path: Path, written: int, tidied: bool) -> None:
    """Whoever followed the log has seen a part of it, perhaps."""
    data = os.urandom(200_000)
    first = Pump(tmp_path, limit=1000)
    first.say(data)
    first.drain()
    first.output.complete()
    first.output.close()
    if tidied:
        remove_rest(first.output.files.rest)
    elif written:  # it was killed in the middle of it
        os.truncate(first.log, 1000 + written)
    adopter = Pump(tmp_path, limit=1000)
    assert not adopter.output.pump()
    adopter.output.complete()
    assert adopter.log.read_bytes() == limited(data, 1000)
    assert adopter.output.size == adopter.log.stat().st_size
    adopter.close()
    os.close(first.machine)


def is_later(moment: float) -> bool:
    return time.time() > moment


def test_the_end_is_marked_with_the_time_of_the_last_byte(tmp_path: Path) -> None:
    pump = Pump(tmp_path, limit=10)
    pump.say(b"early")
    pump.drain()
    for _ in range(2):
        begun = time.time()
        wait_until(functools.partial(is_later, begun + 0.05))
        pump.say(bytes(100))
        pump.drain()
    wait_until(functools.partial(is_later, begun + 0.5))
    pump.output.complete()
    offset, at = pump.marks()[-1]
    assert offset == 10
    assert begun < at / 1_000_000 < begun + 0.4
    pump.close()


def test_a_machine_that_takes_back_what_the_full_disk_had_no_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_rest: Rest) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Rest, "_begin_segment", fail)
    pump = Pump(tmp_path, limit=0)
    pump.say(b"a")
    with pytest.raises(OSError, match="No space"):
        pump.output.pump()
    assert os.read(pump.machine, 10) == b"a"
    pump.output.complete()
    assert pump.log.read_bytes() == b""
    pump.close()
