"""TaskRunner is killed while its task lives: whatever the moment, and several times over."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from task_runner.lib.fault_points import Step
from task_runner.lib.state import HEARTBEAT
from tests.faults.site import Site
from tests.node import Node, running_node
from tests.task_processes import is_running, kill_all_of
from tests.waiting import wait_until

KILLS = 25


def kill_task_runner(node: Node, task_id: str) -> int:
    """Kill it, and return the pid of the one that took its place."""
    victim = int(node.status_file(task_id)["process_id"])
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: node.status_file(task_id)["process_id"] != victim)
    return int(node.status_file(task_id)["process_id"])


def talker(site: Site, gate: Path) -> str:
    """Start a task that prints numbers, as fast as it can, until the gate is open."""
    script = f"i=0; until [ -e {gate} ]; do i=$((i+1)); echo $i; done; echo end"
    task_id = site.node.sh(script)
    # Killed before it has let its machine begin, a TaskRunner would leave nothing to adopt.
    wait_until(lambda: site.node.output(task_id))
    return task_id


@pytest.mark.parametrize("seed", [1, 2])
def test_at_any_moment_no_byte_is_lost_or_doubled(site: Site, seed: int) -> None:
    gate, chance = site.scratch / f"gate-{seed}", random.Random(seed)  # noqa: S311
    task = talker(site, gate)
    for _ in range(KILLS):
        # Not to wait for anything: any moment, also within splice(2), is as good as any other.
        time.sleep(chance.uniform(0, 0.01))
        kill_task_runner(site.node, task)
    gate.touch()
    view = site.node.result(task)
    *numbers, end = site.node.output(task).splitlines()
    assert (numbers, end) == ([str(n) for n in range(1, len(numbers) + 1)], "end")
    assert view["outputSize"] == (site.node.directory(task) / "output.log").stat().st_size
    assert (view["state"], view["outcome"], view["exitCode"]) == ("exited", "unknown", None)
    assert view["error"] == "nobody saw how it ended"


@pytest.mark.parametrize("step", [Step.MARK, Step.MOVE, Step.WRITE, Step.RENAME, Step.ADOPT])
def test_its_successors_are_killed_too(site: Site, step: Step) -> None:
    gate = site.scratch / f"gate-{step}"
    task = talker(site, gate)
    site.plans.add(step, "SIGKILL", task, once=False)
    os.kill(site.node.status_file(task)["process_id"], signal.SIGKILL)
    # More than the service tries in one go: the next look of the recovery tries again.
    wait_until(lambda: len([one for one in site.plans.fired(step) if task in one.path]) >= 4)
    site.plans.remove(step)
    gate.touch()
    assert site.node.result(task)["outcome"] == "unknown"
    *numbers, end = site.node.output(task).splitlines()
    assert (numbers, end) == ([str(n) for n in range(1, len(numbers) + 1)], "end")


def test_marks_go_on_in_order(site: Site) -> None:
    gate = site.scratch / "gate-marks"
    task = talker(site, gate)
    for _ in range(5):
        kill_task_runner(site.node, task)
    gate.touch()
    site.node.result(task)
    entries = site.node.http.get(
        f"/v1/tasks/{task}/log", headers={"accept": "application/x-ndjson"}
    ).text.splitlines()
    times = [entry.partition('"time":"')[2][:32] for entry in entries if '"time":"' in entry]
    assert len(times) == len(entries) - 1
    assert times == sorted(times)


def test_its_end_is_seen_at_once(site: Site) -> None:
    gate = site.scratch / "gate-at-once"
    task = talker(site, gate)
    kill_task_runner(site.node, task)
    gate.touch()
    view = site.node.result(task)
    finished = (site.node.directory(task) / f"{task}.result").stat().st_mtime
    assert view["outcome"] == "unknown"
    assert finished - gate.stat().st_mtime < HEARTBEAT / 2  # which would tell it in the end


def test_a_stop_works_while_nobody_owns_the_task(site: Site) -> None:
    """The adopter is stopped before it owns the task: the stop is noted, and done all the same."""
    task = site.node.sh(
        "exec 2>/dev/null; trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.02; done"
    )
    wait_until(lambda: site.node.output(task) == "ready\n")
    site.plans.add(Step.LOCK, "SIGSTOP", task)
    os.kill(site.node.status_file(task)["process_id"], signal.SIGKILL)
    adopter = site.stopped_at(Step.LOCK, task)
    site.ask("POST", f"/v1/tasks/{task}/stop", 200)
    os.kill(adopter, signal.SIGCONT)
    view = site.node.result(task)
    assert (view["outcome"], view["exitCode"]) == ("canceled", -1)
    assert site.node.output(task) == "ready\nbye\n"


def test_what_both_left_in_the_pipe_is_kept(site: Site) -> None:
    """TaskRunner does not get to move it, then both die; the service has kept the pipe open."""
    gate, said = site.scratch / "gate-pipe", site.scratch / "said-pipe"
    task = site.node.sh(
        f"echo 1; until [ -e {gate} ]; do sleep 0.02; done; echo 2; touch {said}; kill -STOP $$"
    )
    wait_until(lambda: site.node.output(task) == "1\n")
    status = site.node.status_file(task)
    os.kill(status["process_id"], signal.SIGSTOP)
    gate.touch()
    wait_until(said.exists)
    os.kill(status["machine"]["pid"], signal.SIGKILL)
    os.kill(status["process_id"], signal.SIGKILL)
    view = site.node.result(task)
    assert (view["state"], view["outcome"], view["exitCode"]) == ("lost", "unknown", None)
    wait_until(lambda: site.node.output(task) == "1\n2\n")
    wait_until(lambda: not is_running(status["machine"]["pid"]))


@pytest.mark.parametrize("index", ["there", "gone"])
def test_everything_killed_at_once_is_lost_and_said_so(tmp_path: Path, index: str) -> None:
    """As when a container ends, or a whole control group is killed."""
    with running_node(tmp_path / "work") as node:
        done, task = node.submit(parameters=["RETURN 3"]), node.sh("echo here; sleep 600")
        node.result(done)
        wait_until(lambda: node.output(task) == "here\n")
        node.kill()
        kill_all_of(tmp_path)
        if index == "gone":
            for path in node.work_dir.glob("index.sqlite*"):
                path.unlink()
        node.start()
        view = node.result(task)
        assert (view["state"], view["outcome"], view["exitCode"]) == ("lost", "unknown", None)
        assert node.result(done)["exitCode"] == 3
        assert node.log_of(task) == b"here\n"
