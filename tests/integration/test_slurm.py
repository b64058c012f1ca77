"""A node with a real Slurm: what happens to tasks, whatever happens to their jobs."""

import functools
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from task_runner.isolation.container import name_of
from task_runner.lib.task_dir import TaskDir
from tests.node import Json, Node, running_node
from tests.podman import PLAIN, PodmanHere
from tests.slurm_cluster import Cluster
from tests.task_processes import kill_all_of, parent_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("slurm"), pytest.mark.timeout(300)]

CONFIG = {
    "settle": 0.5,
    "pause": [0.3, 2],
    "patience": 4,
    "sbatch_options": ["exclusive", "hold", "nodelist"],
}
HELD = {"environmentOptions": {"sbatch": {"hold": True}}}
LOOP = "echo up; while :; do sleep 0.05; done"


class SlurmNode(Node):
    """A node whose tasks run as jobs."""

    def job(self, task: str) -> str:
        """Return the number of a task's job, once it has one."""
        path = self.directory(task) / "handle.json"
        wait_until(path.exists)
        return str(json.loads(path.read_text())["job"])

    def place(self, task: str) -> str | None:
        status = self.view(task)["environmentStatus"] or {}
        return status.get("place")

    def has_said(self, task: str, words: str) -> None:
        path = self.directory(task) / "output.log"
        wait_until(lambda: path.exists() and words in path.read_text(), 60)

    def over(self, task: str) -> Json:
        wait_until(lambda: self.view(task, 30)["state"] in {"exited", "lost"}, 90)
        return self.view(task)

    def ending(self, task: str) -> tuple[str, str, int | None]:
        view = self.over(task)
        return view["state"], view["outcome"], view["exitCode"]


def slurm_node(work_dir: Path, cluster: Cluster, **env: str) -> SlurmNode:
    settings = {"TASK_RUNNER_ENVIRONMENT": "slurm"}
    settings["TASK_RUNNER_ENVIRONMENTS"] = json.dumps({"slurm": CONFIG})
    return SlurmNode(work_dir, "uvicorn", **{**cluster.env, **settings, **env})


@pytest.fixture
def node(tmp_path: Path, cluster: Cluster) -> Iterator[SlurmNode]:
    node = slurm_node(tmp_path / "work", cluster)
    try:
        node.start()
        yield node
    finally:
        node.close()
        cluster.tool("scancel", f"--user={os.getuid()}", check=False)
        kill_all_of(tmp_path)
        wait_until(lambda: not cluster.tool("squeue", "-h"), 60)
        for name in ("n1", "n2", "n3"):
            cluster.tool("scontrol", "update", f"nodename={name}", "state=resume", check=False)
        wait_until(cluster.is_idle)


def stop(node: Node, task: str) -> Json:
    answer = node.http.post(f"/v1/tasks/{task}/stop")
    assert answer.status_code == 200, answer.text
    view: Json = answer.json()
    return view


def jobs_of(cluster: Cluster, task: str) -> list[str]:
    names = cluster.tool("squeue", "-h", "--states=all", "--format=%i %j").splitlines()
    return [line.split()[0] for line in names if line.split()[1].startswith(f"task-{task}-")]


def state_of(cluster: Cluster, job: str) -> str:
    return cluster.tool("squeue", "-h", "--states=all", "-o", "%T", "-j", job)


def test_a_task_runs_as_a_job(node: SlurmNode, cluster: Cluster) -> None:
    options = {"cpus": 2, "memory": 100 << 20, "partition": "main", "sbatch": {"nodelist": "n2"}}
    script = "echo $SLURM_JOB_ID $SLURMD_NODENAME $SLURM_CPUS_PER_TASK; pwd > here; exit 3"
    task = node.sh(script, environmentOptions=options)
    assert node.ending(task) == ("exited", "failed", 3)
    assert node.output(task).split() == [node.job(task), "n2", "2"]
    files = node.directory(task) / "files"
    assert (files / "here").read_text() == f"{files}\n"
    view = node.view(task)
    assert view["environmentOptions"] == options
    assert jobs_of(cluster, task) == [node.job(task)]


@pytest.mark.parametrize(("options", "mebibytes"), [({}, 264), ({"memory": 300 << 20}, 300)])
def test_the_limit_of_memory_is_asked_of_slurm(
    node: SlurmNode, cluster: Cluster, options: Json, mebibytes: int
) -> None:
    limits = {"memory": 200 << 20}
    task = node.sh("ulimit -d; echo $SLURM_MEM_PER_NODE", limits=limits, environmentOptions=options)
    assert node.ending(task) == ("exited", "succeeded", 0)
    assert node.output(task).split() == [str(200 << 10), str(mebibytes)]


def test_the_service_s_variables_do_not_get_into_a_job(
    tmp_path: Path, cluster: Cluster, node: SlurmNode
) -> None:
    other = slurm_node(tmp_path / "other", cluster, SECRET_OF_THE_SERVICE="hunter2")
    try:
        task = other.start().sh("env; cat /proc/$PPID/environ; umask; ulimit -n")
        assert other.ending(task)[1] == "succeeded"
        assert "hunter2" not in other.output(task)
        assert "0077" in other.output(task)
        assert (other.directory(task) / "runner.log").stat().st_mode & 0o777 == 0o600
    finally:
        other.close()


def test_what_waits_says_why(node: SlurmNode, cluster: Cluster) -> None:
    task = node.sh("echo ran", **HELD)
    wait_until(lambda: node.place(task) == "waiting")
    view = node.view(task)
    assert view["state"] == "created"
    assert view["environmentStatus"] == {
        "place": "waiting",
        "says": f"its Slurm job {node.job(task)} is PENDING (JobHeldUser)",
        "job": node.job(task),
        "state": "PENDING",
        "reason": "JobHeldUser",
        "node": "",
    }
    cluster.tool("scontrol", "release", node.job(task))
    assert node.ending(task) == ("exited", "succeeded", 0)


def test_what_waits_can_be_stopped_and_never_runs(node: SlurmNode, cluster: Cluster) -> None:
    task = node.sh("echo ran", **HELD)
    wait_until(lambda: node.place(task) == "waiting")
    stop(node, task)
    assert node.ending(task) == ("exited", "canceled", -1)
    assert not (node.directory(task) / "output.log").exists()
    assert state_of(cluster, node.job(task)) == "CANCELLED"
    assert node.http.delete(f"/v1/tasks/{task}").status_code == 200


def test_a_stop_lets_the_clean_up_run(node: SlurmNode) -> None:
    task = node.sh("trap 'sleep 1; echo clean; exit 7' TERM; " + LOOP)
    node.has_said(task, "up")
    assert stop(node, task)["state"] == "stopping"
    assert node.ending(task) == ("exited", "canceled", -1)
    assert node.view(task)["returnCode"] == 7
    assert node.output(task).endswith("clean\n")


def test_after_the_grace_period_it_is_killed(node: SlurmNode) -> None:
    task = node.sh("trap '' TERM; " + LOOP, gracePeriod=0.5)
    node.has_said(task, "up")
    stop(node, task)
    assert node.ending(task) == ("exited", "canceled", -1)
    assert node.view(task)["signal"] == "SIGKILL"


def test_a_time_limit_of_slurm_is_a_time_out(node: SlurmNode) -> None:
    options = {"time_limit": 8}
    task = node.sh(
        "trap 'echo clean; exit' TERM; " + LOOP, gracePeriod=1, environmentOptions=options
    )
    assert node.ending(task) == ("exited", "timeout", -2)
    assert node.output(task).endswith("clean\n")


def test_a_time_out_of_its_own(node: SlurmNode) -> None:
    task = node.sh(LOOP, timeout=0.5)
    assert node.ending(task) == ("exited", "timeout", -2)


def test_what_slurm_refuses_is_an_error(node: SlurmNode) -> None:
    task = node.sh("true", environmentOptions={"partition": "nope"})
    view = node.over(task)
    assert (view["state"], view["outcome"], view["exitCode"]) == ("exited", "error", None)
    assert "invalid partition specified: nope" in view["error"]


def test_options_that_the_settings_do_not_allow_are_refused(node: SlurmNode) -> None:
    task = {"machine": "command", "parameters": {"argv": ["true"]}}
    task["environmentOptions"] = {"sbatch": {"nice": 5}}
    answer = node.http.post("/v1/tasks", json=task)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "environmentOptions.sbatch.nice"
    assert node.states() == {}


def test_the_service_is_killed_while_a_task_runs(node: SlurmNode) -> None:
    goes_on = node.sh(LOOP)
    ends = node.sh("echo up; sleep 1; exit 4")
    node.has_said(goes_on, "up")
    node.has_said(ends, "up")
    node.kill()
    wait_until(lambda: "finished_at" in node.status_file(ends))
    node.start()
    assert node.ending(ends) == ("exited", "failed", 4)
    assert node.view(goes_on)["state"] == "running"
    stop(node, goes_on)
    assert node.ending(goes_on) == ("exited", "canceled", -1)


def test_a_job_is_found_again_by_its_name(node: SlurmNode, cluster: Cluster) -> None:
    """The service was killed after sbatch had submitted, before it could write that down."""
    task = node.sh("echo ran", **HELD)
    job = node.job(task)
    node.kill()
    (node.directory(task) / "handle.json").unlink()
    node.start()
    assert node.job(task) == job
    assert jobs_of(cluster, task) == [job]
    cluster.tool("scontrol", "release", job)
    assert node.ending(task) == ("exited", "succeeded", 0)


SLOW_SBATCH = """#!/bin/sh
{real} "$@"
[ -e {mark} ] || {{ touch {mark}; sleep 60; }}
"""


def test_sbatch_that_does_not_answer_but_has_submitted(
    tmp_path: Path, cluster: Cluster, node: SlurmNode
) -> None:
    real = cluster.tool("sh", "-c", "command -v sbatch")
    fake = tmp_path / "bin" / "sbatch"
    fake.parent.mkdir()
    fake.write_text(SLOW_SBATCH.format(real=real, mark=tmp_path / "mark"))
    fake.chmod(0o755)
    path = f"{fake.parent}:{os.environ['PATH']}"
    other = slurm_node(tmp_path / "other", cluster, PATH=path)
    try:
        task = other.start().sh("echo ran")
        assert other.ending(task) == ("exited", "succeeded", 0)
        assert other.output(task) == "ran\n"
        assert len(jobs_of(cluster, task)) == 1
    finally:
        other.close()


def test_a_job_that_is_not_the_owner_does_nothing(node: SlurmNode, cluster: Cluster) -> None:
    task = node.sh("echo ran", **HELD)
    job = node.job(task)
    (node.directory(task) / "handle.json").write_text('{"job": "1000000"}')
    cluster.tool("scontrol", "release", job)
    log = node.directory(task) / "runner.log"
    wait_until(lambda: log.exists() and "leaves" in log.read_text())
    assert not (node.directory(task) / "output.log").exists()


def has_another_runner(node: Node, task: str, pid: int) -> bool:
    return bool(node.status_file(task)["process_id"] != pid)


def test_a_killed_task_runner_is_replaced(node: SlurmNode) -> None:
    task = node.sh("i=0; until [ -e go ]; do echo $((i+=1)); sleep 0.05; done; echo over")
    node.has_said(task, "1")
    for number in (signal.SIGKILL, signal.SIGRTMIN + 1):
        runner = node.status_file(task)["process_id"]
        os.kill(runner, number)
        wait_until(functools.partial(has_another_runner, node, task, runner))
    (node.directory(task) / "files/go").touch()
    # Nobody but its parent is told how a process ended.
    assert node.ending(task) == ("exited", "unknown", None)
    *numbers, last = node.output(task).split()
    assert (numbers, last) == ([str(n + 1) for n in range(len(numbers))], "over")


def test_a_stop_after_its_task_runner_was_killed(node: SlurmNode) -> None:
    task = node.sh("trap 'echo clean; exit' TERM; " + LOOP)
    node.has_said(task, "up")
    os.kill(node.status_file(task)["process_id"], signal.SIGKILL)
    stop(node, task)
    assert node.ending(task) == ("exited", "canceled", -1)
    assert node.output(task).endswith("clean\n")


def kill_job_of(node: Node, task: str) -> None:
    """Kill what the job has started, which takes TaskRunner with it."""
    os.kill(parent_of(node.status_file(task)["process_id"]), signal.SIGKILL)


def test_a_killed_job(node: SlurmNode) -> None:
    task = node.sh(LOOP)
    node.has_said(task, "up")
    kill_job_of(node, task)
    view = node.over(task)
    assert (view["state"], view["outcome"], view["exitCode"]) == ("lost", "unknown", None)
    assert f"its Slurm job {node.job(task)} is FAILED" in view["error"]


def test_a_container_of_a_lost_task_is_removed_with_it(
    tmp_path: Path, cluster: Cluster, podman: PodmanHere, node: SlurmNode
) -> None:
    command = json.dumps(podman.command)
    other = slurm_node(tmp_path / "other", cluster, TASK_RUNNER_CONTAINER_COMMAND=command)
    try:
        task = other.start().sh(LOOP, isolation="container", isolationOptions={"image": PLAIN})
        other.has_said(task, "up")
        container = name_of(TaskDir(str(other.directory(task)), task))
        kill_job_of(other, task)
        assert other.over(task)["state"] == "lost"
        assert container in podman.containers()
        assert other.http.delete(f"/v1/tasks/{task}").json() == {"success": True}
        assert container not in podman.containers()
        assert podman.unnoticed() == []
    finally:
        other.close()


def test_a_node_fails(node: SlurmNode, cluster: Cluster) -> None:
    task = node.sh(LOOP, environmentOptions={"sbatch": {"nodelist": "n3"}})
    node.has_said(task, "up")
    cluster.kill("n3")
    try:
        cluster.tool("scontrol", "update", "nodename=n3", "state=down", "reason=test")
        view = node.over(task)
    finally:
        cluster.start_node("n3")
    assert (view["state"], view["outcome"], view["exitCode"]) == ("lost", "unknown", None)
    assert f"its Slurm job {node.job(task)} is NODE_FAIL" in view["error"]


def test_somebody_else_cancels_what_waits(node: SlurmNode, cluster: Cluster) -> None:
    task = node.sh("echo ran", **HELD)
    cluster.tool("scancel", node.job(task))
    view = node.over(task)
    assert (view["state"], view["outcome"], view["exitCode"]) == ("exited", "canceled", -1)
    assert "is CANCELLED (JobHeldUser), before the task began" in view["error"]


def test_somebody_else_cancels_what_runs(node: SlurmNode, cluster: Cluster) -> None:
    task = node.sh("trap 'echo clean; exit 3' TERM; " + LOOP)
    node.has_said(task, "up")
    cluster.tool("scancel", node.job(task))
    # Slurm signals all processes of a job at once: TaskRunner or the task may be faster.
    assert node.ending(task)[1:] in {("canceled", -1), ("failed", 3)}
    assert node.output(task).endswith("clean\n")


def test_it_is_preempted(node: SlurmNode, cluster: Cluster) -> None:
    alone = {"sbatch": {"exclusive": True}}
    options = {"partition": "low", **alone}
    task = node.sh("trap 'echo clean; exit 3' TERM; " + LOOP, environmentOptions=options)
    node.has_said(task, "up")
    urgent = node.sh("echo urgent", environmentOptions={"partition": "high", **alone})
    assert node.ending(urgent) == ("exited", "succeeded", 0)
    # As when somebody cancels it: TaskRunner or the task may be faster.
    assert node.ending(task)[1:] in {("canceled", -1), ("failed", 3)}
    assert node.output(task).endswith("clean\n")
    assert state_of(cluster, node.job(task)) == "PREEMPTED"


def test_a_requeue_is_refused_and_changes_nothing(node: SlurmNode, cluster: Cluster) -> None:
    task = node.sh("echo up; while [ ! -e go ]; do sleep 0.05; done; exit 2")
    node.has_said(task, "up")
    with pytest.raises(AssertionError, match="presently disabled"):
        cluster.tool("scontrol", "requeue", node.job(task))
    assert state_of(cluster, node.job(task)) == "RUNNING"
    (node.directory(task) / "files" / "go").touch()
    assert node.ending(task) == ("exited", "failed", 2)


def test_a_job_that_is_started_a_second_time_does_nothing(
    node: SlurmNode, cluster: Cluster
) -> None:
    """Whoever may change the job can have it requeued all the same."""
    options = {"sbatch": {"nodelist": "n1"}}
    task = node.sh("trap 'echo clean; exit 3' TERM; " + LOOP, environmentOptions=options)
    node.has_said(task, "up")
    job = node.job(task)
    cluster.tool("scontrol", "update", f"jobid={job}", "requeue=1")
    cluster.tool("scontrol", "requeue", job)
    wait_until(lambda: state_of(cluster, job) == "PENDING")
    # The first node lets it in again only after two minutes.
    cluster.tool("scontrol", "update", f"jobid={job}", "reqnodelist=n2", "starttime=now")
    log = node.directory(task) / "runner.log"
    wait_until(lambda: "another job owns it" in log.read_text())
    assert node.ending(task)[1:] in {("canceled", -1), ("failed", 3)}
    assert node.output(task).count("up\n") == 1
    assert node.output(task).endswith("clean\n")


def test_python_is_not_there_on_the_node(tmp_path: Path, cluster: Cluster, node: SlurmNode) -> None:
    config = json.dumps({"slurm": {**CONFIG, "python": "/nowhere/python3"}})
    other = slurm_node(tmp_path / "other", cluster, TASK_RUNNER_ENVIRONMENTS=config)
    try:
        view = other.over(other.start().sh("true"))
        assert (view["state"], view["outcome"]) == ("exited", "error")
        assert "/nowhere/python3" in view["error"]
    finally:
        other.close()


def test_the_controller_is_down(node: SlurmNode, cluster: Cluster) -> None:
    runs = node.sh("echo up; while [ ! -e go ]; do sleep 0.05; done; exit 2")
    waits = node.sh("echo ran", **HELD)
    node.has_said(runs, "up")
    job = node.job(waits)
    cluster.terminate("slurmctld")
    try:
        late = node.sh("echo late")
        wait_until(lambda: node.place(waits) == node.place(late) == "unknown", 60)
        assert node.view(waits)["state"] == node.view(late)["state"] == "created"
        (node.directory(runs) / "files" / "go").touch()
        assert node.ending(runs) == ("exited", "failed", 2)
    finally:
        cluster.start_controller()
    assert node.ending(late) == ("exited", "succeeded", 0)
    cluster.tool("scontrol", "release", job)
    assert node.ending(waits) == ("exited", "succeeded", 0)


HANGING_SCANCEL = """#!/bin/sh
until [ -e {mark} ]; do sleep 0.1; done
exec {real} "$@"
"""


def test_a_stop_waits_for_no_program(tmp_path: Path, cluster: Cluster, node: SlurmNode) -> None:
    real = cluster.tool("sh", "-c", "command -v scancel")
    fake = tmp_path / "bin" / "scancel"
    fake.parent.mkdir()
    fake.write_text(HANGING_SCANCEL.format(real=real, mark=tmp_path / "mark"))
    fake.chmod(0o755)
    env = {"PATH": f"{fake.parent}:{os.environ['PATH']}"}
    env["TASK_RUNNER_ENVIRONMENTS"] = json.dumps({"slurm": {**CONFIG, "patience": 200}})
    other = slurm_node(tmp_path / "other", cluster, **env)
    try:
        task = other.start().sh("trap 'echo clean; exit' TERM; " + LOOP)
        other.has_said(task, "up")
        assert stop(other, task)["state"] == "stopping"
        (tmp_path / "mark").touch()
        assert other.ending(task) == ("exited", "canceled", -1)
    finally:
        other.close()


def test_a_stop_while_the_controller_is_down(node: SlurmNode, cluster: Cluster) -> None:
    waits = node.sh("echo ran", **HELD)
    node.job(waits)
    cluster.terminate("slurmctld")
    try:
        late = node.sh("echo late")
        stop(node, late)
        stop(node, waits)
        assert node.ending(late) == ("exited", "canceled", -1)
        assert node.view(waits)["state"] == "created"
    finally:
        cluster.start_controller()
    assert node.ending(waits) == ("exited", "canceled", -1)


def test_slurm_has_forgotten_a_job(node: SlurmNode, cluster: Cluster) -> None:
    task = node.sh("echo ran", **HELD)
    job = node.job(task)
    wait_until(lambda: node.place(task) == "waiting")
    cluster.kill("slurmctld")
    cluster.start_controller("-c")
    view = node.over(task)
    assert (view["state"], view["outcome"]) == ("exited", "error")
    assert view["error"] == f"Slurm does not know its job {job} any more, before the task began"


def test_what_slurm_has_forgotten_but_is_heard_of_still_runs(
    node: SlurmNode, cluster: Cluster
) -> None:
    task = node.sh("echo up; while [ ! -e go ]; do sleep 0.05; done; exit 2")
    node.has_said(task, "up")
    path = node.directory(task) / "handle.json"
    path.write_text('{"job": "1000000"}')
    wait_until(lambda: node.place(task) == "missing")
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + 2 * CONFIG_SETTLE)
    assert node.view(task)["state"] == "running"
    (node.directory(task) / "files" / "go").touch()
    assert node.ending(task) == ("exited", "failed", 2)


CONFIG_SETTLE = 0.5


def test_two_workers_share_the_jobs(tmp_path: Path, cluster: Cluster, node: SlurmNode) -> None:
    other = slurm_node(node.work_dir, cluster)
    other.log = tmp_path / "other.log"
    try:
        other.start()
        task = node.sh("echo up; while [ ! -e go ]; do sleep 0.05; done")
        node.has_said(task, "up")
        wait_until(lambda: other.view(task)["state"] == "running")
        node.kill()
        (node.directory(task) / "files" / "go").touch()
        assert other.over(task)["outcome"] == "succeeded"
    finally:
        other.close()


def test_environments(node: SlurmNode) -> None:
    answer = node.http.get("/v1/environments").json()
    listed: dict[str, Any] = {one["name"]: one for one in answer["environments"]}
    isolations: dict[str, Any] = {one["name"]: one for one in answer["isolations"]}
    assert isolations["none"]["usable"]
    assert isolations["sandbox"]["usable"], isolations["sandbox"]["why"]
    assert listed["multiprocess"]["usable"]
    slurm = listed["slurm"]
    assert (slurm["usable"], slurm["why"], slurm["install"]) == (True, None, None)
    assert sorted(slurm["found"]["partitions"]) == ["high", "low", "main"]
    assert slurm["found"]["ClusterName"] == "test"
    assert set(slurm["capabilities"]["options"]) >= {"cpus", "memory", "time_limit"}


def test_with_tools_that_have_no_configuration(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    said = "Could not establish a configuration source"
    for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo"):
        tool = tools / name
        tool.write_text(f"#!/bin/sh\necho '{name}: fatal: {said}' >&2\nexit 1\n")
        tool.chmod(0o755)
    with running_node(tmp_path / "work", PATH=f"{tools}:{os.environ['PATH']}") as node:
        listed = node.http.get("/v1/environments").json()["environments"]
        [slurm] = [one for one in listed if one["name"] == "slurm"]
        assert (slurm["usable"], slurm["why"]) == (False, said)
        assert "SLURM_CONF" in slurm["install"]


def test_with_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    """The tools look for it for a minute, and tell so at the beginning."""
    missing = tmp_path / "slurm.conf"
    config = json.dumps({"slurm": {"patience": 1}})
    env = {"SLURM_CONF": str(missing), "TASK_RUNNER_ENVIRONMENTS": config}
    with running_node(tmp_path / "work", **env) as node:
        listed = node.http.get("/v1/environments").json()["environments"]
        [slurm] = [one for one in listed if one["name"] == "slurm"]
        assert not slurm["usable"]
        assert slurm["why"].startswith("sbatch: it does not answer within 1 seconds: ")
        assert f"{missing}: No such file" in slurm["why"]
        assert "SLURM_CONF" in slurm["install"]


def test_without_slurm_s_tools(tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    with running_node(tmp_path / "work", PATH=str(empty)) as node:
        (slurm,) = [
            one
            for one in node.http.get("/v1/environments").json()["environments"]
            if one["name"] == "slurm"
        ]
        assert not slurm["usable"]
        assert slurm["why"] == "there is no sbatch, squeue, scancel on the PATH"
        assert "apt-get install slurm-client munge" in slurm["install"]
        answer = node.http.post(
            "/v1/tasks", json={"machine": "echo", "environment": "slurm", "parameters": []}
        )
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "environment"
        assert "there is no sbatch" in answer.json()["detail"]
