import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from task_runner.environments.multiprocess import Entry, MultiprocessEnvironment
from task_runner.lib.state import State
from task_runner.lib.task import Task
from tests.task_processes import is_running, kill_all_of, processes_of
from tests.tasks import (
    begin,
    echo,
    ending,
    finish,
    left_in,
    output_of,
    record_of,
    script,
    stop,
)
from tests.waiting import wait_until

Environment = MultiprocessEnvironment

CANCELED = ("canceled", -1)


def assert_nothing_is_left(work_dir: str) -> None:
    wait_until(lambda: not processes_of(Path(work_dir)), timeout=20)


def said(entry: Entry) -> list[bytes]:
    """Return the lines of the output but for what bash says of children that were killed."""
    return [line for line in output_of(entry).splitlines() if b"Terminated" not in line]


@pytest.mark.parametrize(
    "task",
    [
        echo("ECHO ready", "SLEEP 60", "CLEANUP", "ECHO clean-up"),
        script("trap 'echo clean-up; exit 0' TERM; echo ready; sleep 60 & wait"),
        script("trap 'echo clean-up; exit 0' TERM; echo ready; sleep 60"),
    ],
)
def test_a_stop_lets_the_task_clean_up(environment: Environment, task: Task) -> None:
    entry = stop(environment, begin(environment, task, b"ready\n"))
    assert ending(entry) == CANCELED
    assert said(entry) == [b"ready", b"clean-up"]
    assert record_of(entry)["stop"]["reason"] == "canceled"
    assert_nothing_is_left(entry.work_dir)


def test_what_ignores_the_stop_is_killed_after_the_grace_period(environment: Environment) -> None:
    deaf = script("trap '' TERM; echo ready; sleep 60; sleep 60", gracePeriod=0.5)
    entry = begin(environment, deaf, b"ready")
    begun = time.monotonic()
    entry = stop(environment, entry)
    assert 0.5 <= time.monotonic() - begun < 10
    assert ending(entry) == CANCELED
    assert record_of(entry)["signal"] == "SIGKILL"
    assert_nothing_is_left(entry.work_dir)


def test_a_stop_right_after_the_start_always_runs_the_clean_up(environment: Environment) -> None:
    for _ in range(50):
        entry = begin(environment, echo("SLEEP 60", "CLEANUP", "ECHO clean-up"))
        entry = stop(environment, entry)
        assert ending(entry) == CANCELED
        assert output_of(entry) == b"clean-up\n"


def test_a_stop_sent_at_once_to_the_task_runner_runs_the_clean_up(environment: Environment) -> None:
    for _ in range(50):
        task = echo("SLEEP 60", "CLEANUP", "ECHO clean-up")
        entry = environment.register_task(task)
        pidfd = environment.launch(environment._directory(entry.task_id)).pidfd
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        os.close(pidfd)
        entry = finish(environment, entry)
        assert ending(entry) == CANCELED
        assert output_of(entry) == b"clean-up\n"


def test_a_shell_that_ignores_the_stop_lets_its_child_clean_up(environment: Environment) -> None:
    child = "trap 'sleep 0.5; echo clean-up; exit' TERM; echo ready; while :; do sleep 0.05; done"
    entry = begin(environment, script(f"(trap - TERM; {child}) & trap '' TERM; wait"), b"ready")
    entry = stop(environment, entry)
    assert ending(entry) == CANCELED
    assert said(entry) == [b"ready", b"clean-up"]


def test_a_shell_that_dies_first_does_not_cut_off_its_child(environment: Environment) -> None:
    child = "trap 'sleep 0.5; echo clean-up; exit' TERM; echo ready; while :; do sleep 0.05; done"
    entry = begin(environment, script(f"({child}) & wait"), b"ready")
    entry = stop(environment, entry)
    assert ending(entry) == CANCELED
    assert record_of(entry)["signal"] == "SIGTERM"
    assert said(entry) == [b"ready", b"clean-up"]


def test_daemons_of_every_depth_are_gone_after_the_stop(environment: Environment) -> None:
    fork_deeper = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for depth in range(6):
    if os.fork():
        time.sleep(1000)
    os.setsid()
print(os.getpid(), flush=True)
time.sleep(1000)
"""
    chains = "\n".join('python3 -c "$CHAIN" & disown' for _ in range(3))
    task = script(f"{chains}\nsleep 1000", env={"CHAIN": fork_deeper}, gracePeriod=0.2)
    entry = begin(environment, task)
    wait_until(lambda: output_of(entry).count(b"\n") == 3)
    assert len(processes_of(Path(entry.work_dir))) >= 3 * 7
    assert ending(stop(environment, entry)) == CANCELED
    assert not any(is_running(int(pid)) for pid in output_of(entry).split())
    assert_nothing_is_left(entry.work_dir)


def test_a_task_that_forks_without_end_is_stopped(environment: Environment) -> None:
    bomb = "trap '' TERM; while :; do (setsid sleep 0.05 &) & sleep 0.002; done"
    entry = begin(environment, script(f"echo ready; {bomb}", gracePeriod=0.2), b"ready")
    assert ending(stop(environment, entry)) == CANCELED
    assert_nothing_is_left(entry.work_dir)


def test_a_task_that_is_suspended_can_be_stopped(environment: Environment) -> None:
    task = script("trap 'echo clean-up; exit' TERM; echo ready; kill -STOP $$; sleep 60")
    entry = stop(environment, begin(environment, task, b"ready"))
    assert ending(entry) == CANCELED
    assert said(entry) == [b"ready", b"clean-up"]


def test_a_task_that_waits_is_canceled_and_never_runs(environment: Environment) -> None:
    entry = environment.register_task(script("echo ran > ran"))
    assert entry.state is State.CREATED
    entry = stop(environment, entry)
    assert ending(entry) == CANCELED
    assert environment.start_task(entry.task_id).state is State.EXITED
    assert left_in(entry, "ran") == output_of(entry) == b""
    assert "machine" not in record_of(entry)


def test_a_stop_of_what_is_over_changes_nothing(environment: Environment) -> None:
    entry = finish(environment, begin(environment, echo("RETURN 3")))
    before = record_of(entry), sorted(os.listdir(entry.work_dir))
    assert environment.stop_task(entry.task_id) == entry
    assert (record_of(entry), sorted(os.listdir(entry.work_dir))) == before
    assert ending(entry) == ("failed", 3)


def test_a_stop_that_races_the_end_tells_the_truth(environment: Environment) -> None:
    for _ in range(30):
        entry = begin(environment, script("echo ready; echo ran > ran"), b"ready")
        entry = stop(environment, entry)
        assert ending(entry) in {CANCELED, ("succeeded", 0)}
        if ending(entry) != CANCELED:
            assert left_in(entry, "ran") == b"ran\n"


def test_two_stops_are_one(environment: Environment) -> None:
    slow = script("trap 'sleep 0.5; echo clean-up; exit' TERM; echo ready; sleep 60 & wait")
    entry = begin(environment, slow, b"ready")
    assert environment.stop_task(entry.task_id).state is State.STOPPING
    assert environment.stop_task(entry.task_id).state is State.STOPPING
    assert ending(finish(environment, entry)) == CANCELED
    assert said(entry) == [b"ready", b"clean-up"]


POWERLESS = """
import ctypes, sys
PR_CAPBSET_DROP, CAP_KILL = 24, 5
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0)  # for all that is executed from here
from task_runner.environments.multiprocess import MultiprocessEnvironment
from tests.tasks import *
environment = MultiprocessEnvironment(sys.argv[1])
other = "import os, time; os.setuid(65534); print('ready', flush=True); time.sleep(1)"
task = program(sys.executable, "-S", "-c", other, gracePeriod=0.2)
entry = stop(environment, begin(environment, task, b"ready"))
print(*ending(entry), record_of(entry)["return_code"])
environment.close()
"""


def test_what_may_not_be_signalled_is_waited_for(tmp_path: Path) -> None:
    """A program that runs as another user, such as sudo."""
    command = [sys.executable, "-c", POWERLESS, str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    kill_all_of(tmp_path)
    assert (done.stdout, done.stderr) == ("canceled -1 0\n", "")
