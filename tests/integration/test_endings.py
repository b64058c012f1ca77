import json
import sys
from pathlib import Path
from typing import Any

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib.task import Task
from tests.task_processes import processes_of
from tests.tasks import (
    echo,
    ending,
    left_in,
    output_of,
    program,
    record_of,
    run,
    script,
    wait_until_tidy,
)
from tests.waiting import wait_until

Environment = MultiprocessEnvironment


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (echo("ECHO hello"), ("succeeded", 0)),
        (echo("RETURN 7"), ("failed", 7)),
        (echo("RETURN 255"), ("failed", 255)),
        (echo("RAISE no luck"), ("exception", -3)),
        (program("/bin/true"), ("succeeded", 0)),
        (program("/bin/sh", "-c", "exit 126"), ("failed", 126)),
        (program("/bin/sh", "-c", "exit 127"), ("failed", 127)),
        (program("/bin/sh", "-c", "exit 137"), ("failed", 137)),
        (script("kill -SEGV $$"), ("crashed", 139)),
        (script("ulimit -c unlimited; kill -ABRT $$"), ("crashed", 134)),  # with a core dump
        (script("kill -KILL $$"), ("crashed", 137)),
        (script("kill -TERM $$"), ("crashed", 143)),
        (program("no_such_program"), ("error", None)),
        (program("/"), ("error", None)),
        (program("/etc/passwd"), ("error", None)),
        (script("#!/no/such/shell\n"), ("error", None)),
        (echo("SLEEP 60", timeout=0.2), ("timeout", -2)),
        (script("sleep 60", timeout=0.2), ("timeout", -2)),
    ],
)
def test_every_ending_is_told_apart(
    environment: Environment, task: Task, expected: tuple[str, int | None]
) -> None:
    entry = run(environment, task)
    assert ending(entry) == expected
    wait_until(lambda: not processes_of(Path(entry.work_dir)), timeout=20)


def test_the_result_tells_all_of_a_success(environment: Environment) -> None:
    record = record_of(entry := run(environment, echo("ECHO hello")))
    assert record["started_at"] < record["finished_at"] <= record["updated_at"]
    assert (record["return_code"], record["signal"], record["error"]) == (0, None, None)
    assert record["output_size"] == len(b"hello\n") == len(output_of(entry))
    assert record["usage"]["max_rss_bytes"] > 1_000_000
    wait_until_tidy(entry)


def test_a_crash_names_its_signal(environment: Environment) -> None:
    assert record_of(run(environment, script("kill -SEGV $$")))["signal"] == "SIGSEGV"


def test_a_program_that_is_missing_is_named(environment: Environment) -> None:
    record = record_of(run(environment, program("no_such_program")))
    assert record["error"] == "no_such_program: No such file or directory"


def test_a_program_with_an_endless_name_is_reported_as_any_other(environment: Environment) -> None:
    record = record_of(run(environment, program("x" * 100_000)))
    assert record["outcome"] == "error"
    assert record["error"].startswith("xxx")
    assert record["error"].endswith("File name too long")


def test_an_exception_is_reported_and_its_traceback_is_in_the_log(environment: Environment) -> None:
    entry = run(environment, echo("RAISE no luck"))
    assert record_of(entry)["error"] == "RuntimeError: no luck"
    assert b"Traceback" in output_of(entry)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["ECHO work"], b"work\nclean-up\n"),
        (["ECHO work", "RETURN 3"], b"work\nclean-up\n"),
        (["ECHO work", "SLEEP 60"], b"work\nclean-up\n"),
    ],
)
def test_the_clean_up_runs_whatever_happens(
    environment: Environment, lines: list[str], words: bytes
) -> None:
    entry = run(environment, echo(*lines, "CLEANUP", "ECHO clean-up", timeout=0.5))
    assert output_of(entry) == words


def test_the_clean_up_runs_after_an_exception(environment: Environment) -> None:
    entry = run(environment, echo("RAISE first", "CLEANUP", "ECHO clean-up", "RAISE second"))
    assert output_of(entry).count(b"\nclean-up\n") == 1
    assert record_of(entry)["error"] == "RuntimeError: first"


def test_an_exception_in_the_clean_up_ends_the_task_with_it(environment: Environment) -> None:
    entry = run(environment, echo("ECHO work", "CLEANUP", "RAISE late"))
    assert ending(entry) == ("exception", -3)


def test_a_time_out_runs_the_clean_up_of_a_shell(environment: Environment) -> None:
    entry = run(environment, script("trap 'echo gone > clean; exit 0' TERM; sleep 60", timeout=0.5))
    assert ending(entry) == ("timeout", -2)
    assert left_in(entry, "clean") == b"gone\n"
    assert record_of(entry)["return_code"] == 0


def test_a_daemon_left_behind_goes_with_the_task(environment: Environment) -> None:
    daemon = (
        "setsid bash -c 'trap \"echo farewell; exit\" TERM; echo up; while :; do sleep 0.1; done'"
    )
    entry = run(
        environment, script(f"{daemon} & until grep -q up ../output.log; do :; done; exit 4")
    )
    assert ending(entry) == ("failed", 4)
    assert output_of(entry) == b"up\nfarewell\n"
    assert record_of(entry)["output_size"] == len(output_of(entry))
    wait_until(lambda: not processes_of(Path(entry.work_dir)), timeout=20)


def test_a_daemon_that_ignores_everything_is_killed_after_the_grace_period(
    environment: Environment,
) -> None:
    daemon = "(trap '' TERM HUP; exec setsid sleep 1000) & sleep 0.2"
    entry = run(environment, script(daemon, gracePeriod=0.3))
    assert ending(entry) == ("succeeded", 0)
    wait_until(lambda: not processes_of(Path(entry.work_dir)), timeout=20)


PROBE = """
import os, sys, gc, signal
class Probe:
    def validate(self, task): pass
    def run(self, task):
        exec(task.parameters)
        return locals().get("code")
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a machine `probe` that executes Python; before the fork server starts."""
    site = tmp_path / "site"
    info = site / "probe-1.dist-info"
    info.mkdir(parents=True)
    (site / "probe_machine.py").write_text(PROBE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[task_runner.machines]\nprobe = probe_machine:Probe\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("code = None", ("succeeded", 0)),
        ("code = True", ("failed", 1)),
        ("code = -5", ("failed", -5)),
        ("code = 1000", ("failed", 1000)),
        ("code = 'text'", ("exception", -3)),
        ("code = 10 ** 5000", ("exception", -3)),
        ("code = 2 ** 64", ("exception", -3)),
        ("sys.exit(5)", ("failed", 5)),
        ("sys.exit()", ("succeeded", 0)),
        ("sys.exit('a last word')", ("failed", 1)),
        ("raise ValueError('\\udc80')", ("exception", -3)),
        ("raise KeyboardInterrupt", ("exception", -3)),
        ("sys.stdout.close()", ("succeeded", 0)),
        ("sys.stdout.close(); sys.exit('unheard')", ("failed", 1)),
        ("sys.stdout.close(); raise ValueError('unheard')", ("exception", -3)),
        ("os._exit(9)", ("failed", 9)),
        ("os.kill(os.getpid(), signal.SIGSEGV)", ("crashed", 139)),
        ("os.kill(os.getpid(), signal.SIGTERM)", ("crashed", 143)),
        ("code = 0 if gc.isenabled() else 1", ("succeeded", 0)),
    ],
)
@pytest.mark.usefixtures("plug_in")
def test_every_ending_of_a_python_machine(
    environment: Environment, code: str, expected: tuple[str, int | None]
) -> None:
    entry = run(environment, Task(task_id=None, machine="probe", parameters=code))
    assert ending(entry) == expected
    error: Any = json.dumps(record_of(entry), ensure_ascii=False)
    assert error.encode()


@pytest.mark.usefixtures("plug_in")
def test_a_python_machine_has_no_descriptors_but_its_own(environment: Environment) -> None:
    """Input, output twice, status, report; and the one that lists them."""
    entry = run(environment, Task(None, "probe", "print(*os.listdir('/proc/self/fd'))"))
    assert sorted(output_of(entry).split()) == [b"0", b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.usefixtures("plug_in")
def test_the_last_word_of_an_exit_is_in_the_log(environment: Environment) -> None:
    entry = run(environment, Task(None, "probe", "sys.exit('a last word')"))
    assert output_of(entry) == b"a last word\n"
