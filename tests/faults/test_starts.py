"""Starts that go wrong: each task runs once or not at all, and says why."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from task_runner.environments.multiprocess import MultiprocessEnvironment
from task_runner.lib.errors import StartError, ValidationError
from task_runner.lib.fault_points import Step
from task_runner.lib.task_dir import TaskDir
from tests.conftest import ROOT
from tests.faults.site import Site, site_in
from tests.node import Node, running_node
from tests.tasks import echo, ending, program, record_of, run

Environment = MultiprocessEnvironment


def test_a_program_that_is_being_written_is_named(environment: Environment, tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(Path("/bin/true").read_bytes())
    path.chmod(0o700)
    with path.open("ab"):
        entry = run(environment, program(str(path)))
    assert ending(entry) == ("error", None)
    assert record_of(entry)["error"] == f"{path}: Text file busy"


def test_a_program_that_may_not_be_executed_is_named(
    environment: Environment, tmp_path: Path
) -> None:
    path = tmp_path / "program"
    path.write_text("#!/bin/sh\n")
    entry = run(environment, program(str(path)))
    assert record_of(entry)["error"] == f"{path}: Permission denied"


def test_a_program_of_another_kind_is_named(environment: Environment, tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o700)
    assert record_of(run(environment, program(str(path))))["error"] == f"{path}: Exec format error"


def test_too_many_arguments_are_an_error_of_the_task(environment: Environment) -> None:
    """Each is short enough, all together they are more than the kernel takes."""
    entry = run(environment, program("true", *["x" * 100_000] * 30))
    assert ending(entry) == ("error", None)
    assert record_of(entry)["error"] == "true: Argument list too long"


def test_one_argument_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValidationError, match="longer than"):
        program("true", "x" * 200_000)


def test_the_same_submission_many_times_at_once_runs_once(site: Site) -> None:
    ran = site.scratch / "ran-at-once"
    task = {
        "taskId": "at-once",
        "machine": "command",
        "parameters": {"argv": ["sh", "-c", f"echo ran >> {ran}"]},
    }
    with ThreadPoolExecutor(8) as threads:
        codes = list(
            threads.map(
                lambda _: site.node.http.post("/v1/tasks", json=task).status_code, range(16)
            )
        )
    assert codes == [201] * 16
    assert site.accounted("at-once")["outcome"] == "succeeded"
    assert ran.read_text() == "ran\n"


def test_a_client_that_gave_up_and_retries_gets_the_same_task(site: Site) -> None:
    """The worker stops right before its answer; the client hangs up, and asks again."""
    site.plan(Step.ANSWER, "SIGSTOP", "hung-up")
    with pytest.raises(Exception, match="timed out"):
        site.node.http.post("/v1/tasks", json=sleeper(site, "hung-up"), timeout=0.5)
    os.kill(site.stopped_at(Step.ANSWER, "hung-up"), signal.SIGCONT)
    site.ask("POST", "/v1/tasks", 201, json=sleeper(site, "hung-up"))
    assert site.accounted("hung-up")["outcome"] == "succeeded"
    assert site.times_run("hung-up") == 1


def test_a_task_whose_directory_was_removed_can_be_submitted_anew(site: Site) -> None:
    site.submit("anew", "exit 3")
    assert site.accounted("anew")["exitCode"] == 3
    shutil.rmtree(site.node.directory("anew"))
    other = {"taskId": "anew", "machine": "echo", "parameters": "ECHO a"}
    assert site.ask("POST", "/v1/tasks?check=true", 200, json=other)["valid"]
    site.submit("anew", "exit 4")
    assert site.accounted("anew")["exitCode"] == 4


def test_a_task_can_be_submitted_anew_while_it_is_deleted(tmp_path: Path) -> None:
    """Its directory is gone, and the index is yet to be told."""
    with site_in(tmp_path, "--workers", "2") as site, ThreadPoolExecutor(1) as threads:
        site.submit("anew", "exit 3")
        site.accounted("anew")
        site.plan(Step.FORGET, "SIGSTOP", "anew")
        deleted = threads.submit(site.node.http.delete, "/v1/tasks/anew")
        worker = site.stopped_at(Step.FORGET, "anew")
        site.submit("anew", "exit 4")
        os.kill(worker, signal.SIGCONT)
        assert deleted.result().status_code == 200
        assert site.accounted("anew")["exitCode"] == 4


def sleeper(site: Site, task_id: str) -> dict[str, object]:
    argv = ["sh", "-c", f"echo ran >> {site.scratch / task_id}"]
    return {"taskId": task_id, "machine": "command", "parameters": {"argv": argv}}


@pytest.mark.parametrize("step", [Step.FORK, Step.LOCK, Step.BEGIN, Step.ANNOUNCE])
def test_a_process_that_is_stopped_holds_up_nothing_for_good(site: Site, step: Step) -> None:
    """It goes on, later; whatever others have done meanwhile, the task runs once."""
    task_id = f"stopped-{step}"
    site.plan(step, "SIGSTOP", task_id)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(site.submit, task_id, "exit 7")
        stopped = site.stopped_at(step, task_id)
        assert site.node.http.get("/livez").status_code == 200
        os.kill(stopped, signal.SIGCONT)
        answer.result()
    view = site.accounted_for(task_id)
    assert (view["outcome"], view["exitCode"]) == ("failed", 7)


IGNORANT = (
    "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv({0!r}, {1!r})"
)


def test_who_ignores_the_end_of_children_gets_true_results_all_the_same(tmp_path: Path) -> None:
    """With SIGCHLD ignored, wait(2) knows nothing, which is not the exit code 0."""
    node = Node(tmp_path / "work")
    node.argv = [sys.executable, "-c", IGNORANT.format(node.argv[0], node.argv)]
    try:
        node.start()
        assert node.result(node.submit(parameters=["RETURN 7"]))["exitCode"] == 7
    finally:
        node.close()
    command = [sys.executable, "-m", "task_runner.lib.runner", str(tmp_path / "task.json")]
    (tmp_path / "task.json").write_text('{"machine": "echo", "parameters": ["RETURN 7"]}')
    done = subprocess.run(
        [sys.executable, "-c", IGNORANT.format(command[0], command)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 7


def test_no_file_descriptor_left_is_refused_and_passes(tmp_path: Path) -> None:
    with running_node(tmp_path / "work") as node:
        assert node.process is not None
        worker = int(
            Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children")
            .read_text()
            .split()[0]
        )
        limit(worker, len(list(Path(f"/proc/{worker}/fd").iterdir())) + 1)
        answer = node.http.post("/v1/tasks", json={"machine": "echo", "parameters": []})
        assert answer.status_code in {201, 503}, answer.text
        assert answer.status_code == 201 or answer.json()["detail"]
        limit(worker, 1000)
        assert node.result(node.submit(parameters=["RETURN 4"]))["exitCode"] == 4
        assert len(node.states()) == (2 if answer.status_code == 201 else 1)


def limit(pid: int, files: int) -> None:
    subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={files}:"], check=True)


def test_a_start_that_failed_holds_no_lock(environment: Environment) -> None:
    """Else whoever judges the task next finds somebody alive."""
    entry = environment.register_task(echo("ECHO a"))
    directory = TaskDir.of(environment.work_dir.path, entry.task_id)
    Path(directory.status).touch()
    for _ in range(20):
        with pytest.raises(StartError, match="is damaged"):
            environment.launch(directory)
        assert directory.lock_holder() is None
