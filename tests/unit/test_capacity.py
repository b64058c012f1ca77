import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from task_runner.lib.errors import DiskFullError, StartLaterError
from task_runner.service import capacity
from task_runner.service.capacity import Capacity, files_are_short, open_files, thread_count
from task_runner.service.threads import patiently, start_threads


@contextmanager
def opened(count: int) -> Iterator[None]:
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
    try:
        yield
    finally:
        for fd in files:
            os.close(fd)


@contextmanager
def limit_of_files(soft: int) -> Iterator[None]:
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def test_open_files_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    with opened(100):
        assert open_files() == before + 100
        monkeypatch.setattr(capacity, "OPEN_FILES", "/proc/self/fdinfo")  # has no size
        assert abs(open_files() - before - 100) <= 1


@pytest.mark.parametrize(("limit", "reserve"), [(400, 100), (2000, 256)])
def test_a_part_of_the_files_is_kept(limit: int, reserve: int) -> None:
    with limit_of_files(limit):
        assert not files_are_short()
        with opened(limit - reserve - open_files()):
            assert not files_are_short()
            with opened(1):
                assert files_are_short()
        assert not files_are_short()


@pytest.mark.parametrize(("limit", "count"), [(64, 2), (256, 8), (1024, 16)])
def test_few_files_few_threads(limit: int, count: int) -> None:
    with limit_of_files(limit):
        assert thread_count() == count


def test_it_says_what_is_short(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads:
        able = Capacity(str(tmp_path), 1, threads)
        asyncio.run(able.check())
        with (
            limit_of_files(400),
            opened(379 - open_files()),
            pytest.raises(StartLaterError, match="open files"),
        ):
            asyncio.run(able.check())
        asyncio.run(able.check())
        assert able.refused == {"files": 1, "start": 0, "disk": 0}


def test_the_floor_is_no_more_than_a_tenth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def statvfs(_path: str) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, 1000, free, free, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    with ThreadPoolExecutor(1) as threads:
        free = 100
        asyncio.run(Capacity(str(tmp_path), 1 << 40, threads).check())
        free = 99
        full = Capacity(str(tmp_path), 1 << 40, threads)
        with pytest.raises(DiskFullError, match="4096 bytes less"):
            asyncio.run(full.check())
        asyncio.run(Capacity(str(tmp_path), 0, threads).check())
        asyncio.run(Capacity(str(tmp_path), 99 * 4096, threads).check())
        assert full.refused["disk"] == 1
        assert asyncio.run(full.free_bytes()) == 99 * 4096


def test_the_disk_is_looked_at_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    real = os.statvfs

    def statvfs(path: str) -> os.statvfs_result:
        looks.append(path)
        return real(path)

    monkeypatch.setattr(os, "statvfs", statvfs)
    times = iter((10.0, 10.5, 10.99, 11.0, 11.5))
    monkeypatch.setattr(capacity, "since_boot", lambda: next(times))
    with ThreadPoolExecutor(1) as threads:
        able = Capacity(str(tmp_path), 1, threads)
        for _ in range(5):
            asyncio.run(able.check())
    assert len(looks) == 2


def test_threads_run_before_they_are_needed() -> None:
    code = """
import os, resource
from task_runner.service.threads import start_threads
threads = start_threads(5, "x")
assert len(os.listdir("/proc/self/task")) == 6
for _ in range(20):
    threads.submit(int)
assert len(os.listdir("/proc/self/task")) == 6
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"done\n"


def test_without_room_for_the_threads_nobody_waits_for_ever() -> None:
    limits = ["setpriv", "--ruid", "54322", "--bounding-set=-sys_admin,-sys_resource"]
    code = """
from task_runner.service.threads import start_threads
try:
    start_threads(9, "x")
except RuntimeError as problem:
    print(problem)
"""
    command = [*limits, "prlimit", "--nproc=4", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert b"start new thread" in done.stdout


def test_what_is_done_patiently() -> None:
    threads = start_threads(1, "x")
    problems: list[OSError] = [BlockingIOError(11, "again"), OSError(24, "too many open files")]

    def work(value: int) -> int:
        if problems:
            raise problems.pop()
        return value

    assert asyncio.run(patiently(threads, work, 3)) == 3
    problems.append(OSError(28, "no space"))
    with pytest.raises(OSError, match="no space"):
        asyncio.run(patiently(threads, work, 3))
    threads.shutdown()
