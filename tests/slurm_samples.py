"""Records what Slurm's tools say to the Task Runner, from a cluster that is started for it.

    python -m tests.slurm_samples

As root. The release is that of the programs on the PATH, which may be scripts that lead into a
chroot; besides those of slurm-wlm and munge, slurmdbd, mariadbd and mariadb-install-db are needed.
It takes some three minutes and writes `tests/samples/slurm/RELEASE.txt`, without the names of this
machine.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from task_runner.environments.slurm import commands
from task_runner.lib.task_dir import TaskDir
from tests.slurm_accounting import AccountedCluster
from tests.slurm_cluster import ROOT, Cluster
from tests.transcript import Said, written
from tests.waiting import wait_until

SAMPLES = ROOT / "tests" / "samples" / "slurm"
SHOWN = re.compile("Configuration data|ClusterName|Kill|MinJobAge|SLURM_|TaskPlugin|Slurmctld\\(|$")
"""The lines of the configuration that are kept: what we look for, and what looks like it."""
UNKNOWN_JOB = "4000000"
ALONE = ("--partition=low", "--exclusive")

# What becomes of a job, its options, its script; the name of the job is the same.
LOOP = "sleep 999"
JOBS = {
    "completed": ((), "exit 0"),
    "failed": ((), "exit 3"),
    "running": ((), LOOP),
    "timeout": (("--time=1",), LOOP),
    "canceled": ((), LOOP),
    "canceled_waiting": (("--hold",), LOOP),
    "held": (("--hold",), LOOP),
    "begins_later": (("--begin=now+1hour",), LOOP),
    "node_failed": (("--nodelist=n2",), LOOP),
    "preempted": (ALONE, LOOP),
    "suspended": ((), LOOP),
    "requeued": (("--nodelist=n1",), LOOP),
    "requeued_held": (("--nodelist=n1",), LOOP),
    "special_exit": (("--nodelist=n1",), LOOP),
    "array": (("--array=1-3%1",), LOOP),
}
AFTERWARDS = {
    "preempts": (("--partition=high", "--exclusive"), LOOP),
    "waits_for_resources": (ALONE, LOOP),
    "waits_for_others": (ALONE, LOOP),
    "waits_for_node": (("--nodelist=n2",), LOOP),
    "misses_its_deadline": (("--nodelist=n2", "--time=1", "--deadline=now+90"), LOOP),
}
REFUSED = {
    "no_partition": "--partition=nope",
    "no_account": "--account=nope",
    "no_qos": "--qos=nope",
    "no_feature": "--constraint=nope",
    "no_gres": "--gres=gpu:1",
    "no_node": "--nodelist=nope",
    "no_reservation": "--reservation=nope",
    "no_license": "--licenses=nope",
    "no_memory": "--mem=100000000M",
    "no_time": "--time=nope",
    "no_option": "--nope",
}


class Recorder:
    """Runs what the Task Runner runs, and keeps what it said."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.directory = TaskDir.of(str(cluster.path), "sample")
        self.script = cluster.path / "job.sh"
        self.script.write_text('#!/bin/sh\neval "$1"\n')
        Path(self.directory.path).mkdir()
        self.scenes: dict[str, list[Said]] = {}
        self.numbers: dict[str, str] = {}

    def scene(self, title: str, *lines: Sequence[str], **env: str) -> None:
        self.scenes[title] = [self.run(line, **env) for line in lines]

    def run(self, argv: Sequence[str], **env: str) -> Said:
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **self.cluster.env, **env}
        ran = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        text = ran.stdout
        if list(argv) == commands.CONFIGURATION:
            text = "".join(line for line in text.splitlines(keepends=True) if SHOWN.match(line))
        neutral = [self.neutral(words) for words in argv]
        return Said(neutral, self.neutral(text), self.neutral(ran.stderr), ran.returncode)

    def neutral(self, text: str) -> str:
        text = text.replace(str(self.cluster.path), "/cluster")
        return re.sub(rf"\b{re.escape(os.uname().nodename)}\b", "head", text)

    def submit(self, name: str, options: Sequence[str], script: str = LOOP) -> list[str]:
        return commands.submit(self.directory, name, options, str(self.script), [script])

    def submit_all(self, jobs: Mapping[str, tuple[Sequence[str], str]]) -> None:
        for name, (options, script) in jobs.items():
            said = self.run(self.submit(name, options, script))
            assert said.code == 0, said
            self.numbers[name] = said.text.strip()
            self.scenes.setdefault("accepted", []).append(said)

    def is_in(self, states: str, *names: str) -> None:
        """Return when all of these jobs are in one of the states."""
        wait_until(lambda: all(self.state(name) in states.split() for name in names), 180)

    def state(self, name: str) -> str:
        return self.cluster.tool("squeue", "-h", "--states=all", "-o%T", f"--name={name}")

    def control(self, name: str, *words: str) -> None:
        self.cluster.tool("scontrol", *words, self.numbers[name])


def record(cluster: Cluster) -> dict[str, list[Said]]:
    recorder = Recorder(cluster)
    _bring_jobs_about(recorder)
    queue = commands.queue("root")
    over, canceled = recorder.numbers["completed"], recorder.numbers["canceled"]
    recorder.scene("the queue", queue)
    recorder.scene("one job", commands.find("running", "root"))
    recorder.scene("no job of this name", commands.find("nobody", "root"))
    recorder.scene("the accounting", commands.account([*recorder.numbers.values()]))
    recorder.scene("the accounting of what is not known", commands.account([UNKNOWN_JOB]))
    recorder.scene(
        "to cancel what is over",
        *(commands.unqueue(over, "completed"), commands.terminate(over, "completed")),
        *(commands.unqueue(canceled, "canceled"), commands.terminate(canceled, "canceled")),
    )
    recorder.scene(
        "to cancel what is not known",
        *(commands.unqueue(UNKNOWN_JOB, "nobody"), commands.terminate(UNKNOWN_JOB, "nobody")),
    )
    refusals = [recorder.submit(name, [option]) for name, option in REFUSED.items()]
    recorder.scene("what is refused", *refusals)
    asked = (commands.VERSION, commands.PARTITIONS, commands.CONFIGURATION)
    recorder.scene("what can be used", *asked)
    submit, cancel = recorder.submit("late", ()), commands.terminate(over, "completed")
    nothing = str(cluster.path / "nothing")
    recorder.scene("without a configuration", queue, SLURM_CONF=nothing)  # takes a minute
    cluster.terminate("slurmctld")
    recorder.scene("without a controller", queue, submit, cancel, *asked[1:])
    cluster.start_controller()
    cluster.terminate("munged")
    recorder.scene("without munge", queue, submit, cancel, *asked[1:])
    return recorder.scenes


def _bring_jobs_about(recorder: Recorder) -> None:
    recorder.submit_all(JOBS)
    requeued = ("requeued", "requeued_held", "special_exit")
    ongoing = ("running", "canceled", "node_failed", "preempted", "suspended", *requeued)
    recorder.is_in("RUNNING", *ongoing)
    cluster = recorder.cluster
    for name in ("canceled", "canceled_waiting"):
        cluster.tool("scancel", recorder.numbers[name])
    recorder.control("suspended", "suspend")
    cluster.kill("n2")
    cluster.tool("scontrol", "update", "nodename=n2", "state=down", "reason=test")
    recorder.submit_all(AFTERWARDS)
    recorder.is_in("TIMEOUT", "timeout")
    recorder.is_in("DEADLINE", "misses_its_deadline")
    recorder.is_in("NODE_FAIL", "node_failed")
    recorder.is_in("RUNNING", "preempts")
    for name in requeued:  # at last: two minutes later it runs again
        cluster.tool("scontrol", "update", f"jobid={recorder.numbers[name]}", "requeue=1")
    recorder.control("requeued", "requeue")
    recorder.control("requeued_held", "requeuehold")
    recorder.control("special_exit", "requeuehold", "state=SpecialExit")
    recorder.is_in("PENDING REQUEUE_HOLD SPECIAL_EXIT", *requeued)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        cluster = AccountedCluster(Path(scratch), kill_wait=2)
        try:
            cluster.start()
            release = re.search(r"\d+\.\d+", cluster.tool("sbatch", "--version"))
            assert release is not None
            text = written(record(cluster))
        finally:
            cluster.close()
    SAMPLES.mkdir(parents=True, exist_ok=True)
    (SAMPLES / f"{release[0]}.txt").write_text(text)


if __name__ == "__main__":
    main()
