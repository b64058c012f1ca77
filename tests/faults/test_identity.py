"""Who is who: recycled pids, zombies, processes that are stopped, clocks that jump."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib.state import STALLED_AFTER, State
from tests.conftest import ROOT
from tests.node import Node, running_node
from tests.task_processes import is_running
from tests.tasks import begin, ending, finish, output_of, record_of, script, stop
from tests.waiting import wait_until

Environment = MultiprocessEnvironment
HOUR = 3600.0

RECYCLED = """
import os, signal, subprocess, sys
from tests.tasks import begin, record_of, script
from tests.waiting import wait_until
from task_runner.environments.multiprocess import MultiprocessEnvironment

environment = MultiprocessEnvironment(sys.argv[1])
entry = begin(environment, script("echo ready; kill -STOP $$", gracePeriod=0.1), b"ready")
record = record_of(entry)
task_runner, machine = record["process_id"], record["machine"]["pid"]
for pid in (task_runner, machine):
    os.kill(pid, signal.SIGKILL)
for pid in (task_runner, machine):
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))

strangers = []
for pid in sorted((task_runner, machine)):
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(pid - 1))
    strangers.append(subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True))
assert {one.pid for one in strangers} == {task_runner, machine}, "their pids are used again"

print(environment.get_task_data(entry.task_id).state)
environment.stop_task(entry.task_id)
for _ in range(2):
    os.close(environment.launch(environment._directory(entry.task_id)).pidfd)
wait_until(lambda: environment.get_task_data(entry.task_id).state == "lost")
print(*(one.poll() for one in strangers))
for one in strangers:
    one.kill()
    one.wait()
environment.close()
"""


def test_processes_that_got_the_pids_of_dead_ones_are_not_touched(tmp_path: Path) -> None:
    """For real, in a pid namespace of our own, where the next pid can be chosen."""
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", RECYCLED,
         str(tmp_path / "work")],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("lost\nNone None\n", "")


def test_a_zombie_that_nobody_reaps_is_over(environment: Environment) -> None:
    """Its parent, which would have to reap it, is stopped."""
    entry = begin(environment, script("echo ready; sleep 600"), b"ready")
    record = record_of(entry)
    os.kill(record["process_id"], signal.SIGSTOP)
    os.kill(record["machine"]["pid"], signal.SIGKILL)
    wait_until(lambda: not is_running(record["machine"]["pid"]))
    assert Path(f"/proc/{record['machine']['pid']}").exists()
    assert environment.get_task_data(entry.task_id).state is State.RUNNING  # its owner lives
    os.kill(record["process_id"], signal.SIGCONT)
    assert ending(finish(environment, entry)) == ("crashed", 137)


def shift(path: Path, seconds: float) -> None:
    now = time.time() + seconds
    os.utime(path, (now, now))


@pytest.mark.parametrize(
    ("jump", "state"), [(-HOUR, State.STALLED), (HOUR, State.RUNNING), (0, State.RUNNING)]
)
def test_a_clock_that_jumps_ends_nothing(
    environment: Environment, jump: float, state: State
) -> None:
    """The last sign of life seems to be of another time: at worst it is missed, for a minute."""
    entry = begin(environment, script("echo ready; sleep 600", timeout=600), b"ready")
    shift(Path(entry.work_dir, f"{entry.task_id}.result"), jump)
    assert environment.get_task_data(entry.task_id).state is state
    assert STALLED_AFTER < HOUR
    assert ending(stop(environment, entry)) == ("canceled", -1)


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_a_clock_that_jumps_during_a_stop_changes_nothing(
    environment: Environment, jump: float
) -> None:
    text = "trap 'until [ -e go ]; do sleep 0.02; done; echo bye; exit 3' TERM; echo ready; "
    task = script(text + "while :; do sleep 0.02; done", gracePeriod=600)
    entry = begin(environment, task, b"ready")
    environment.stop_task(entry.task_id)
    wait_until(lambda: "asked" in record_of(entry).get("stop", {}))
    shift(Path(entry.work_dir, f"{entry.task_id}.result"), jump)
    assert environment.get_task_data(entry.task_id).state is State.STOPPING
    Path(entry.work_dir, "files", "go").touch()
    assert ending(finish(environment, entry)) == ("canceled", -1)
    assert output_of(entry).endswith(b"bye\n")


def test_a_task_whose_task_runner_is_stopped_is_stalled_and_comes_back(node: Node) -> None:
    task = node.sh("sleep 600")
    owner = node.view(task)["processId"]
    os.kill(owner, signal.SIGSTOP)
    shift(node.directory(task) / f"{task}.result", -2 * STALLED_AFTER)
    assert node.view(task)["state"] == "stalled"
    os.kill(owner, signal.SIGCONT)
    node.http.post(f"/v1/tasks/{task}/stop")
    assert node.result(task)["outcome"] == "canceled"


def test_a_reboot_makes_what_ran_lost(tmp_path: Path) -> None:
    """The record is of another boot, as after a real one; a process with the pid lives now."""
    with running_node(tmp_path / "work") as node:
        task = node.sh("sleep 600")
        status = node.status_file(task)
        node.kill()
        for pid in (status["process_id"], status["machine"]["pid"]):
            os.kill(pid, signal.SIGKILL)
        with subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True) as stranger:
            status |= {"boot_id": "00000000-0000-0000-0000-000000000000"}
            status["machine"]["pid"] = status["process_id"] = stranger.pid
            path = node.directory(task) / f"{task}.result"
            path.write_text(json.dumps(status))
            node.start()
            view = node.result(task)
            assert (view["state"], view["outcome"], view["exitCode"]) == ("lost", "unknown", None)
            assert stranger.poll() is None
            stranger.kill()
