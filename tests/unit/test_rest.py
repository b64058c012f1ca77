import os
from pathlib import Path

import pytest

from task_runner.lib.rest import KEPT, SEGMENT, Rest, begins_of, remove_rest


def write(rest: Rest, data: bytes) -> None:
    while data:
        place = rest.place()
        written = os.pwrite(place.fd, data[: place.room], place.offset)
        rest.size += written
        data = data[written:]


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return str(tmp_path / "output.rest-")


@pytest.mark.parametrize("size", [0, 1, KEPT, KEPT + 1, SEGMENT, SEGMENT + 1, 5 * SEGMENT + 7])
def test_the_end_is_kept_and_all_is_counted(prefix: str, size: int) -> None:
    data = os.urandom(size)
    rest = Rest(prefix)
    write(rest, data)
    assert rest.size == size
    assert rest.end() == data[-KEPT:]
    assert rest.dropped == max(0, size - KEPT)


def test_it_takes_no_more_than_two_segments(prefix: str, tmp_path: Path) -> None:
    rest = Rest(prefix)
    write(rest, bytes(4 * SEGMENT))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 2 * SEGMENT
    assert begins_of(prefix) == [2 * SEGMENT, 3 * SEGMENT]
    remove_rest(prefix)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [1, KEPT, SEGMENT, 3 * SEGMENT + 5])
def test_another_one_goes_on(prefix: str, size: int) -> None:
    data = os.urandom(size + 100)
    write(Rest(prefix), data[:size])
    rest = Rest(prefix)
    assert rest.size == size
    write(rest, data[size:])
    assert (rest.size, rest.end()) == (len(data), data[-KEPT:])


def test_a_third_segment_of_one_that_was_killed_is_removed(prefix: str) -> None:
    write(Rest(prefix), bytes(2 * SEGMENT))
    Path(f"{prefix}{2 * SEGMENT}").write_bytes(b"abc")
    rest = Rest(prefix)
    assert begins_of(prefix) == [SEGMENT, 2 * SEGMENT]
    assert (rest.size, rest.end()[-4:]) == (2 * SEGMENT + 3, b"\0abc")


def test_what_a_task_removes_is_still_kept(prefix: str) -> None:
    rest = Rest(prefix)
    write(rest, b"abc")
    os.unlink(f"{prefix}0")
    assert rest.end() == b"abc"
    remove_rest(prefix)


def test_files_of_strangers_are_left_alone(prefix: str, tmp_path: Path) -> None:
    stranger = tmp_path / "output.rest-²"
    stranger.touch()
    (tmp_path / "output.rest-x").mkdir()
    rest = Rest(prefix)
    write(rest, b"abc")
    remove_rest(prefix)
    assert stranger.exists()
