import os
from pathlib import Path

import pytest

from task_runner.lib.task_dir import TaskDir
from task_runner.service.capacity import open_files
from task_runner.service.readers import Readers, nobody_reads
from tests.unit.test_capacity import limit_of_files


@pytest.fixture
def directory(tmp_path: Path) -> TaskDir:
    (tmp_path / "task-a").mkdir()
    return TaskDir.of(str(tmp_path), "a")


def next_descriptor() -> int:
    """Return the number of the next file to be opened: who runs the tests may have left gaps."""
    fd = os.open(os.devnull, os.O_RDONLY)
    os.close(fd)
    return fd


def is_free(directory: TaskDir) -> bool:
    with nobody_reads(directory) as alone:
        return alone


def test_a_task_is_kept_as_long_as_somebody_reads(directory: TaskDir) -> None:
    readers, others = Readers(), Readers()
    before = open_files()
    assert is_free(directory)
    with readers.hold(directory):
        with readers.hold(directory), others.hold(directory):
            assert not is_free(directory)
            assert open_files() == before + 2
        assert not is_free(directory)
    assert is_free(directory)
    assert open_files() == before


def test_a_reader_that_comes_too_late_has_nothing_to_read(directory: TaskDir) -> None:
    with nobody_reads(directory) as alone, Readers().hold(directory):
        assert alone


@pytest.mark.parametrize("name", ["missing", "x" * 300])
def test_a_task_that_is_not_there(tmp_path: Path, name: str) -> None:
    directory = TaskDir.of(str(tmp_path), name)
    with Readers().hold(directory):
        pass
    with pytest.raises(OSError, match=r"No such file|too long"), nobody_reads(directory):
        pass


def test_a_reader_that_cannot_be_marked_is_refused(directory: TaskDir) -> None:
    with (
        limit_of_files(next_descriptor()),
        pytest.raises(OSError, match="Too many"),
        Readers().hold(directory),
    ):
        pass
