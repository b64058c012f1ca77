"""A TaskRunner that was killed is replaced by another one, which goes on with its machine."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from task_runner.environments.multiprocess import Entry, MultiprocessEnvironment
from task_runner.lib.clock import since_boot
from task_runner.lib.state import State
from task_runner.lib.task_dir import create_exclusive, write_atomic
from tests.task_processes import is_running, processes_of
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
    wait_until_tidy,
)
from tests.waiting import wait_until

Environment = MultiprocessEnvironment


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


def suspend(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: ") T " in Path(f"/proc/{pid}/stat").read_text())


def kill_task_runner(entry: Entry) -> None:
    kill(record_of(entry)["process_id"])


def wait_for_more(entry: Entry, size: int) -> None:
    def has_grown() -> bool:
        output = output_of(entry)
        return len(output) > size or output.endswith(b"\n60000\n")

    wait_until(has_grown)


def adopt(environment: Environment, entry: Entry) -> int:
    """Launch another TaskRunner; return its pid."""
    environment.start_task(entry.task_id)
    return int(record_of(entry)["process_id"])


def test_no_line_is_lost_or_doubled(environment: Environment) -> None:
    task = script("for n in $(seq 60000); do echo $n; done; until [ -e go ]; do sleep 0.01; done")
    entry = begin(environment, task, b"\n500\n")
    for _ in range(5):
        kill_task_runner(entry)
        size = len(output_of(entry))
        adopt(environment, entry)
        wait_for_more(entry, size)
    Path(entry.work_dir, "files", "go").touch()
    entry = finish(environment, entry)
    assert output_of(entry) == b"".join(b"%d\n" % n for n in range(1, 60001))
    assert ending(entry) == ("unknown", None)
    assert record_of(entry)["output_size"] == len(output_of(entry))
    wait_until_tidy(entry)


def test_what_it_wrote_while_nobody_looked_is_kept(environment: Environment) -> None:
    text = "echo 1; until [ -e go ]; do :; done; echo 2; touch said; sleep 60"
    entry = begin(environment, script(text), b"1\n")
    kill_task_runner(entry)
    Path(entry.work_dir, "files", "go").touch()
    wait_until(lambda: Path(entry.work_dir, "files", "said").exists())
    assert output_of(entry) == b"1\n"
    assert environment.get_task_data(entry.task_id).state is State.RUNNING
    adopt(environment, entry)
    wait_until(lambda: output_of(entry) == b"1\n2\n")
    assert ending(stop(environment, entry)) == ("canceled", -1)


def test_the_time_out_counts_from_the_real_start(environment: Environment) -> None:
    entry = begin(environment, script("echo ready; sleep 60", timeout=1.5), b"ready")
    begun = since_boot()
    kill_task_runner(entry)
    wait_until(lambda: since_boot() > begun + 1)
    adopt(environment, entry)
    entry = finish(environment, entry)
    assert since_boot() < begun + 2.2
    assert ending(entry) == ("timeout", -2)


def test_a_time_out_that_passed_meanwhile_is_kept_at_once(environment: Environment) -> None:
    text = "trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.05; done"
    entry = begin(environment, script(text, timeout=0.5), b"ready")
    begun = since_boot()
    kill_task_runner(entry)
    wait_until(lambda: since_boot() > begun + 1)
    adopt(environment, entry)
    assert ending(finish(environment, entry)) == ("timeout", -2)
    assert output_of(entry).endswith(b"bye\n")


def test_a_stop_reaches_all_of_an_adopted_machine(environment: Environment) -> None:
    says_bye = "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.05; done"
    Path(environment.work_dir.path, "says_bye").write_text(says_bye)
    run = f"bash {environment.work_dir.path}/says_bye"
    task = script(f"setsid {run} &\n(setsid setsid {run} & ) &\n{says_bye}")
    entry = begin(environment, task)
    wait_until(lambda: output_of(entry).count(b"up\n") == 3)
    kill_task_runner(entry)
    assert ending(stop(environment, entry)) == ("canceled", -1)
    assert output_of(entry).count(b"bye\n") == 3
    wait_until(lambda: not processes_of(Path(entry.work_dir)), timeout=20)


def test_an_adopted_machine_that_ignores_the_stop_is_killed(environment: Environment) -> None:
    deaf = script("trap '' TERM; setsid sleep 61 & echo ready; sleep 60; sleep 60", gracePeriod=0.3)
    entry = begin(environment, deaf, b"ready")
    kill_task_runner(entry)
    assert ending(stop(environment, entry)) == ("canceled", -1)
    wait_until(lambda: not processes_of(Path(entry.work_dir)), timeout=20)


def test_an_adopted_python_machine_cleans_up(environment: Environment) -> None:
    task = echo("ECHO ready", "SLEEP 60", "CLEANUP", "ECHO clean-up")
    entry = begin(environment, task, b"ready")
    kill_task_runner(entry)
    assert ending(stop(environment, entry)) == ("canceled", -1)
    assert output_of(entry) == b"ready\nclean-up\n"


def test_both_killed_is_lost(environment: Environment) -> None:
    entry = begin(environment, script("echo ready; sleep 60"), b"ready")
    kill_task_runner(entry)
    kill(record_of(entry)["machine"]["pid"])
    lost = environment.get_task_data(entry.task_id)
    assert (lost.state, lost.exit_code) == (State.LOST, None)
    adopt(environment, entry)
    assert finish(environment, entry).state is State.LOST
    assert environment.stop_task(entry.task_id).state is State.LOST
    environment.unregister_task(entry.task_id)


def test_what_a_dead_machine_left_running_is_removed(environment: Environment) -> None:
    entry = begin(
        environment, script("setsid sleep 1000 & echo $! > daemon; echo ready; wait"), b"ready"
    )
    kill_task_runner(entry)
    kill(record_of(entry)["machine"]["pid"])
    daemon = int(left_in(entry, "daemon"))
    assert is_running(daemon)
    adopt(environment, entry)
    wait_until(lambda: not is_running(daemon))
    assert finish(environment, entry).state is State.LOST
    wait_until(lambda: "output.fifo" not in os.listdir(entry.work_dir))


@pytest.mark.parametrize("kills", [1, 3])
def test_a_stop_goes_on_and_does_not_disturb_the_clean_up(
    environment: Environment, kills: int
) -> None:
    clean_up = (
        "echo cleaning; for n in 1 2 3 4 5 6; do sleep 0.3 || echo disturbed; done; echo done"
    )
    task = script(f"trap '{clean_up}; exit' TERM; echo ready; while :; do sleep 0.05; done")
    entry = begin(environment, task, b"ready")
    environment.stop_task(entry.task_id)
    wait_until(lambda: b"cleaning" in output_of(entry) and "asked" in record_of(entry)["stop"])
    for _ in range(kills):
        kill_task_runner(entry)
        assert environment.get_task_data(entry.task_id).state is State.STOPPING
        adopt(environment, entry)
    assert ending(finish(environment, entry)) == ("canceled", -1)
    said = [line for line in output_of(entry).splitlines() if b"Terminated" not in line]
    assert said == [b"ready", b"cleaning", b"done"]


def test_a_stop_that_was_only_noted_is_carried_out(environment: Environment) -> None:
    task = script("trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.05; done")
    entry = begin(environment, task, b"ready")
    assert create_exclusive(f"{entry.work_dir}/stop.json", {"at": "now"})
    kill_task_runner(entry)
    adopt(environment, entry)
    assert ending(finish(environment, entry)) == ("canceled", -1)
    assert output_of(entry).endswith(b"bye\n")


def test_a_task_runner_that_was_suspended_hears_the_stop(environment: Environment) -> None:
    entry = begin(environment, script("echo ready; sleep 60"), b"ready")
    suspend(record_of(entry)["process_id"])
    assert ending(stop(environment, entry)) == ("canceled", -1)


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "another"}])
def test_a_process_that_only_has_the_same_pid_is_not_touched(
    environment: Environment, change: dict[str, Any]
) -> None:
    entry = begin(environment, script("echo ready; sleep 60", gracePeriod=0.1), b"ready")
    kill_task_runner(entry)
    kill(record_of(entry)["machine"]["pid"])
    with subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True) as stranger:
        record = record_of(entry)
        machine = {"pid": stranger.pid, "start_ticks": ticks(stranger.pid)}
        record |= {"machine": machine} | change
        machine |= {key: change[key] for key in change.keys() & machine.keys()}
        path = Path(entry.work_dir)
        write_atomic(f"{path}/{entry.task_id}.result", record)
        assert environment.get_task_data(entry.task_id).state is State.LOST
        for _ in range(2):
            os.close(environment.launch(environment._directory(entry.task_id)).pidfd)
            wait_until(lambda: {found.pid for found in processes_of(path)} <= {stranger.pid})
            assert environment.get_task_data(entry.task_id).state is State.LOST
        assert stranger.poll() is None
        stranger.kill()


def ticks(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])
