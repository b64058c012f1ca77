"""Bytes are bytes: what a task writes is what is in its log."""

import hashlib
import os
import select
from pathlib import Path

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib.output import MARK
from tests.tasks import begin, ending, finish, output_of, program, record_of, run, script

Environment = MultiprocessEnvironment

MEGABYTE = 1 << 20


def test_fifty_megabytes_of_random_bytes_arrive_exactly(environment: Environment) -> None:
    task = script("head -c 50M /dev/urandom | tee >(sha256sum > sum) ; wait; sync sum")
    entry = run(environment, task)
    written = (Path(entry.work_dir) / "files/sum").read_text().split()[0]
    output = output_of(entry)
    assert len(output) == record_of(entry)["output_size"] == 50 * MEGABYTE
    assert hashlib.sha256(output).hexdigest() == written
    assert len(set(output)) == 256


def test_a_line_of_ten_megabytes(environment: Environment) -> None:
    entry = run(environment, script("head -c 10M /dev/zero | tr '\\0' x; echo"))
    assert output_of(entry) == b"x" * 10 * MEGABYTE + b"\n"


@pytest.mark.parametrize(
    ("script_text", "expected"),
    [
        ("printf 'no newline'", b"no newline"),
        ("printf 'a\\r\\0\\xff\\xfe\\r'", b"a\r\0\xff\xfe\r"),
        ("echo one; echo x > /dev/stderr; echo two > /dev/stdout", b"one\nx\ntwo\n"),
        ("echo out; echo err >&2", b"out\nerr\n"),
        ("exec >&- 2>&-; echo unheard; true", b""),
        ("true", b""),
    ],
)
def test_every_byte_is_kept(environment: Environment, script_text: str, expected: bytes) -> None:
    assert output_of(run(environment, script(script_text))) == expected


def test_the_log_is_live(environment: Environment) -> None:
    entry = begin(
        environment, script("echo first; until [ -e go ]; do sleep 0.01; done"), b"first\n"
    )
    assert not environment.get_task_data(entry.task_id).state.is_over
    Path(entry.work_dir, "files", "go").touch()
    assert ending(finish(environment, entry)) == ("succeeded", 0)


def test_the_marks_grow_with_the_log(environment: Environment) -> None:
    entry = run(environment, script("for n in 1 2 3; do echo $n; sleep 0.05; done"))
    marks = list(MARK.iter_unpack(Path(entry.work_dir, "output.idx").read_bytes()))
    assert [offset for offset, _ in marks] == [0, 2, 4]
    assert marks == sorted(marks)
    assert marks[2][1] - marks[0][1] >= 100_000


def test_a_task_that_truncates_its_log_loses_only_what_was_in_it(environment: Environment) -> None:
    entry = run(environment, script("echo lost; sleep 0.1; : > ../output.log; echo kept"))
    assert output_of(entry).strip(b"\0") == b"kept\n"
    assert ending(entry) == ("succeeded", 0)


def test_a_task_that_removes_its_pipes_still_ends(environment: Environment) -> None:
    entry = run(environment, script("rm ../*.fifo; echo still here"))
    assert ending(entry) == ("succeeded", 0)
    assert output_of(entry) == b"still here\n"


def test_a_task_that_removes_its_directory_does_not_keep_its_task_runner(
    environment: Environment,
) -> None:
    entry = environment.register_task(script('rm -rf "$TASK_RUNNER_DIR"; echo unheard'))
    pidfd = environment.launch(environment._directory(entry.task_id)).pidfd
    assert select.select([pidfd], [], [], 20)[0]
    os.close(pidfd)
    assert environment.get_all_tasks() == []


def test_many_writers_lose_nothing(environment: Environment) -> None:
    writer = "for n in $(seq 2000); do echo $1 $n; done"
    task = script(f"w() {{ {writer}; }}; for i in 1 2 3 4; do w $i & done; wait")
    lines = output_of(run(environment, task)).splitlines()
    assert sorted(lines) == sorted(b"%d %d" % (i, n) for i in range(1, 5) for n in range(1, 2001))


def test_a_program_that_closes_early_hurts_nobody(environment: Environment) -> None:
    assert ending(run(environment, program("sh", "-c", "yes | head -n 1"))) == ("succeeded", 0)
