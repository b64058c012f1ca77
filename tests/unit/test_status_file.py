import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from task_runner.lib.outcome import Outcome, Result
from task_runner.lib.process import Identity
from task_runner.lib.status_file import STATUS_LIMIT, StatusFile
from task_runner.lib.task_dir import read_json

RUNNER = Identity("host", "boot", 10, 100)
MACHINE = Identity("host", "boot", 11, 101)


class Ear:
    """A status file, and the pipe on which it hears."""

    def __init__(self, path: str) -> None:
        self.file = StatusFile(path, {"task_id": "t"})
        self._hears, self._says = os.pipe2(os.O_NONBLOCK)

    def hear(self, said: bytes) -> bool:
        """Say all of it, in pieces that fit, and return whether anything changed."""
        changed = False
        while said:
            said = said[os.write(self._says, said) :]
            changed |= self.file.hear(self._hears)
        return changed

    @property
    def status(self) -> Any:
        return self.file.record.get("status")

    def close(self) -> None:
        os.close(self._hears)
        os.close(self._says)


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    ear = Ear(str(tmp_path / "t.result"))
    yield ear
    ear.close()


def test_lines_are_merged_and_the_newest_wins(ear: Ear) -> None:
    assert ear.hear(b'{"progress": 0.1, "phase": "one"}\n')
    assert ear.hear(b'{"progress": 0.2}\n{"progress": 0.3}\n')
    assert ear.status == {"progress": 0.3, "phase": "one"}


def test_a_line_may_come_in_parts(ear: Ear) -> None:
    assert not ear.hear(b'{"progr')
    assert not ear.hear(b'ess": 1')
    assert ear.hear(b"}\n{")
    assert ear.status == {"progress": 1}


def test_nothing_said_is_nothing_heard(ear: Ear) -> None:
    assert not ear.file.hear(ear._hears)
    assert ear.status is None


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"no json\n",
        b"[1]\n",
        b'"text"\n',
        b"1\n",
        b"null\n",
        b"\xff\xfe\n",
        b"\0\n",
        b'{"a": \n',
        b"[" * 50_000 + b"\n",
        b'{"a": NaN}\n',
        b'{"a": Infinity}\n',
        b'{"a": 1e999}\n',
        b'{"a": "\\ud800"}\n',
        b'{"\\udfff": 1}\n',
    ],
)
def test_what_nobody_can_use_is_left_out(ear: Ear, garbage: bytes) -> None:
    assert not ear.hear(garbage)
    assert ear.hear(garbage + b'{"kept": true}\n' + garbage)
    assert ear.status == {"kept": True}


def test_too_much_is_left_out(ear: Ear) -> None:
    ear.hear(b'{"kept": true}\n')
    assert not ear.hear(b'{"a": "' + b"x" * STATUS_LIMIT + b'"}\n')
    for n in range(20):
        ear.hear(b'{"%d": "%s"}\n' % (n, b"x" * 10_000))
    assert ear.status["kept"]
    assert len(json.dumps(ear.status)) <= STATUS_LIMIT


def test_of_a_line_that_is_too_long_nothing_is_taken(ear: Ear) -> None:
    # Of eight bytes each, so that it would be JSON again when a part of it is cut out.
    line = b'{"a" : "' + b"\\u0041\\n" * (STATUS_LIMIT // 2) + b'"}\n'
    assert not ear.hear(line)
    assert ear.hear(b'{"kept": true}\n')
    assert ear.status == {"kept": True}


def test_the_file_tells_of_both_processes(tmp_path: Path) -> None:
    path = str(tmp_path / "t.result")
    StatusFile(path, {"task_id": "t"}).begin(RUNNER, MACHINE)
    record = read_json(path)
    assert record is not None
    assert record["started_at"] <= record["updated_at"]
    assert (record["process_id"], record["start_ticks"], record["host"]) == (10, 100, "host")
    assert record["machine"] == {"pid": 11, "start_ticks": 101}


def test_the_end_keeps_what_was_there(ear: Ear, tmp_path: Path) -> None:
    ear.file.begin(RUNNER, MACHINE)
    ear.hear(b'{"progress": 1}\n')
    ear.file.begin_stop(Outcome.CANCELED)
    ear.file.finish(
        Result(Outcome.CANCELED, -1, 143, "SIGTERM"), {"user_seconds": 1.0}, {"output_size": 7}
    )
    record = read_json(str(tmp_path / "t.result")) or {}
    assert record["stop"]["reason"] == "canceled"
    assert record["status"] == {"progress": 1}
    assert (record["outcome"], record["exit_code"], record["return_code"]) == ("canceled", -1, 143)
    assert (record["signal"], record["error"], record["output_size"]) == ("SIGTERM", None, 7)


def test_a_touch_moves_the_time_and_nothing_else(ear: Ear, tmp_path: Path) -> None:
    path = tmp_path / "t.result"
    ear.file.begin(RUNNER, MACHINE)
    os.utime(path, (0, 0))
    before = path.read_bytes()
    ear.file.touch()
    assert path.stat().st_mtime > 0
    assert path.read_bytes() == before
