"""What a machine finds around it when it begins."""

import ast
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib.task import task_from_dict
from tests.conftest import ROOT
from tests.tasks import begin, ending, left_in, output_of, program, record_of, run, script, stop
from tests.waiting import wait_until

Environment = MultiprocessEnvironment

LOOK = """
import os, resource
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print({
    "environment": open("/proc/self/environ").read(),
    "umask": int(status["Umask"], 8),
    "descriptors": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],  # without that of listdir
    "terminal": os.ttyname(0) if os.isatty(0) else None,
    "open files": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "directory": os.getcwd(),
})
"""

KNOWN_SIGNALS = sum(1 << (number - 1) for number in signal.valid_signals())
"""A mask as in /proc/PID/status; two more belong to the C library, and pass through as they are."""


@pytest.fixture
def seen(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Look around in a task of a service that has secrets, blocks and ignores signals."""
    monkeypatch.setenv("SECRET_OF_THE_SERVICE", "hunter2")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    blocked = {signal.SIGUSR1, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    leaked = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        # A shell in between: Python itself would ignore SIGPIPE again.
        look = "grep -E 'SigBlk|SigIgn' /proc/self/status; exec python3 -S -c \"$LOOK\""
        task = script(look, env={"LOOK": LOOK, "MINE": "yes"})
        entry = run(environment, task)
    finally:
        os.close(leaked)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        signal.signal(signal.SIGHUP, before)
    *masks, said = output_of(entry).decode().splitlines()
    seen: dict[str, Any] = ast.literal_eval(said)
    return {**seen, "masks": masks, "entry": entry}


def test_the_environment_is_short_and_holds_no_secrets(seen: dict[str, Any]) -> None:
    found = dict(entry.split("=", 1) for entry in seen["environment"].strip("\0").split("\0"))
    work_dir = seen["entry"].work_dir
    assert found.pop("LOOK") == LOOK
    assert found.pop("TASK_RUNNER_DIR") == work_dir
    assert found.pop("TASK_RUNNER_TASK_ID") == seen["entry"].task_id
    assert found.pop("TASK_RUNNER_STATUS_FD") == "3"
    assert found.pop("MINE") == "yes"
    shell_adds = {"PWD", "OLDPWD", "SHLVL", "_"}
    assert set(found) - shell_adds == {
        "PATH", "LANG", "HOME", "USER", "LOGNAME", "SHELL", "PYTHONUNBUFFERED"
    }  # fmt: skip


def test_signals_are_as_a_program_expects_them(seen: dict[str, Any]) -> None:
    for mask in seen["masks"]:
        assert int(mask.split()[1], 16) & KNOWN_SIGNALS == 0, mask


def test_no_descriptor_leaks(seen: dict[str, Any]) -> None:
    assert seen["descriptors"] == [0, 1, 2, 3]


def test_the_process_is_private(seen: dict[str, Any]) -> None:
    assert seen["umask"] == 0o077
    assert seen["terminal"] is None
    assert seen["directory"] == f"{seen['entry'].work_dir}/files"
    assert seen["open files"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for path in Path(seen["entry"].work_dir).rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


def test_the_machine_is_the_leader_of_a_session_below_its_task_runner(
    environment: Environment,
) -> None:
    entry = begin(environment, script("ps -o ppid=,pgid=,sid= $$; echo ready; sleep 60"), b"ready")
    parent, group, session = map(int, output_of(entry).split()[:3])
    record = record_of(entry)
    assert (parent, group, session) == (record["process_id"], *[record["machine"]["pid"]] * 2)
    stop(environment, entry)


def test_without_input_the_input_is_empty(environment: Environment) -> None:
    assert output_of(run(environment, program("wc", "-c"))) == b"0\n"


def test_the_input_is_what_was_given(environment: Environment) -> None:
    text = "line\0" * 200_000 + "ü"
    task = {"machine": "command", "parameters": {"argv": ["cat"], "stdin": text}}
    assert output_of(run(environment, task_from_dict(task))) == text.encode()


def test_progress_appears_in_the_status_file(environment: Environment) -> None:
    says = 'echo "{\\"progress\\": 0.5, \\"phase\\": \\"$1\\"}" >&$TASK_RUNNER_STATUS_FD'
    task = script(f"say() {{ {says}; }}; say one; until [ -e go ]; do sleep 0.01; done; say two")
    entry = begin(environment, task)
    wait_until(lambda: record_of(entry).get("status") == {"progress": 0.5, "phase": "one"})
    Path(entry.work_dir, "files", "go").touch()
    entry = environment.wait_completion(entry.task_id, timeout=20)
    assert record_of(entry)["status"] == {"progress": 0.5, "phase": "two"}


def test_a_task_ends_at_once_although_its_starter_had_blocked_sigchld(tmp_path: Path) -> None:
    code = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
from task_runner.environments.multiprocess import MultiprocessEnvironment
from tests.tasks import *
environment = MultiprocessEnvironment(sys.argv[1])
print(*ending(run(environment, program("/bin/true"))))
environment.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("succeeded 0\n", "")


def test_a_job_ends_with_its_task_although_its_starter_had_ignored_sigchld(
    environment: Environment,
) -> None:
    entry = environment.register_task(script("exit 3"))
    ignore = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    code = f"{ignore} os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    job = ["-S", "-m", "task_runner.lib.own", entry.work_dir, "job"]
    subprocess.run([sys.executable, "-c", code, *job], cwd=ROOT, check=True, timeout=60)
    assert ending(environment.get_task_data(entry.task_id)) == ("failed", 3)


def test_files_in_the_current_directory_are_kept(environment: Environment) -> None:
    entry = run(environment, script("echo artifact > left"))
    assert left_in(entry, "left") == b"artifact\n"
