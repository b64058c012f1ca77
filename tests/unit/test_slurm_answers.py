"""What Slurm prints: recorded by `tests/slurm_samples.py` from several releases."""

from pathlib import Path

import pytest

from task_runner.environments.base import Place
from task_runner.environments.slurm import answers
from task_runner.environments.slurm.answers import Job
from tests.transcript import Said, read

RELEASES = sorted((Path(__file__).parent.parent / "samples" / "slurm").glob("*.txt"))
STATES = {
    "begins_later": "PENDING",
    "canceled": "CANCELLED",
    "canceled_waiting": "CANCELLED",
    "completed": "COMPLETED",
    "failed": "FAILED",
    "held": "PENDING",
    "misses_its_deadline": "DEADLINE",
    "node_failed": "NODE_FAIL",
    "preempted": "PREEMPTED",
    "preempts": "RUNNING",
    "requeued": "PENDING",
    "requeued_held": "PENDING",
    "running": "RUNNING",
    "special_exit": "SPECIAL_EXIT",
    "suspended": "SUSPENDED",
    "timeout": "TIMEOUT",
    "waits_for_node": "PENDING",
    "waits_for_others": "PENDING",
    "waits_for_resources": "PENDING",
}
REASONS = {
    "canceled": "",
    "canceled_waiting": "JobHeldUser",
    "failed": "NonZeroExitCode",
    "held": "JobHeldUser",
    "misses_its_deadline": "DeadLine",
    "node_failed": "NodeDown",
    "requeued_held": "job requeued in held state",
    "running": "",
    "timeout": "TimeLimit",
    "waits_for_others": "Priority",
    "waits_for_resources": "Resources",
}
"""Those that do not depend on the moment."""
NODES = {"node_failed": "n2", "preempted": "n3", "preempts": "n3", "completed": "n1", "held": ""}

QUEUE_OF_TWO_CLUSTERS = """\
CLUSTER: alpha
77|task-a-0|RUNNING|cn001|None
CLUSTER: beta
78|task-a-0|PENDING||(null)
"""
QUEUE_WITH_SETS_OF_JOBS = """\
81+0|task-a-0|RUNNING|cn2|None
slurm_load_jobs error: Unable to contact slurm controller (connect failure)
82|task-a-0|RUNNING
"""


@pytest.fixture(params=RELEASES, ids=lambda path: path.stem)
def scenes(request: pytest.FixtureRequest) -> dict[str, list[Said]]:
    return read(request.param)


def by_name(jobs: dict[str, Job]) -> dict[str, Job]:
    return {job.name: job for job in jobs.values()}


def test_several_releases_are_recorded() -> None:
    assert [path.stem for path in RELEASES] == ["20.11", "22.05", "24.11", "26.05"]


def test_the_number_of_a_job(scenes: dict[str, list[Said]]) -> None:
    numbers = [answers.submitted(said.text) for said in scenes["accepted"]]
    assert len({*numbers}) == len(numbers) > 10
    assert None not in numbers


def test_the_queue(scenes: dict[str, list[Said]]) -> None:
    [said] = scenes["the queue"]
    jobs = by_name(answers.queue(said.text))
    assert {name: job.state for name, job in jobs.items()} == STATES
    assert {name: jobs[name].reason for name in REASONS} == REASONS
    assert {name: jobs[name].nodes for name in NODES} == NODES
    assert "|array|" in said.text


def test_the_jobs_of_a_name(scenes: dict[str, list[Said]]) -> None:
    [one], [none] = scenes["one job"], scenes["no job of this name"]
    assert [job.name for job in answers.queue(one.text).values()] == ["running"]
    assert (none.code, answers.queue(none.text)) == (0, {})


def test_the_accounting(scenes: dict[str, list[Said]]) -> None:
    [said], [none] = scenes["the accounting"], scenes["the accounting of what is not known"]
    jobs = by_name(answers.accounted(said.text))
    # A job that was put back into the queue is PENDING in newer ones, REQUEUED in older ones.
    places = {name: answers.place_of(state) for name, state in STATES.items()}
    found = {name: answers.place_of(job.state) for name, job in jobs.items() if name != "array"}
    assert found == places
    assert {name: jobs[name].nodes for name in NODES} == NODES
    assert (jobs["canceled"].reason, jobs["failed"].reason) == ("by 0", "")
    assert (none.code, answers.accounted(none.text)) == (0, {})


def test_what_is_refused_for_good(scenes: dict[str, list[Said]]) -> None:
    for said in scenes["what is refused"]:
        assert said.code != 0
        assert answers.submitted(said.text) is None
        assert not answers.is_transient(said.complaints), said
        assert answers.complaint(said.complaints)


def test_what_is_over_cannot_be_canceled(scenes: dict[str, list[Said]]) -> None:
    for said in scenes["to cancel what is over"] + scenes["to cancel what is not known"]:
        assert not answers.is_transient(said.complaints), said


@pytest.mark.parametrize("missing", ["a configuration", "a controller", "munge"])
def test_what_is_to_be_tried_again(scenes: dict[str, list[Said]], missing: str) -> None:
    for said in scenes[f"without {missing}"]:
        assert said.code != 0, said
        assert answers.is_transient(said.complaints), said


def test_what_can_be_used(scenes: dict[str, list[Said]]) -> None:
    version, partitions, configuration = (said.text for said in scenes["what can be used"])
    assert "slurm" in version
    assert partitions.split() == ["main", "low", "high"]
    assert answers.setting(configuration, "KillWait") == "2 sec"
    assert answers.setting(configuration, "ClusterName") == "test"
    assert answers.setting(configuration, "Kill") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("17;alpha\n", "17"),  # with --clusters
        ("sbatch: Checking quota ...\nYou have 12 GB left.\n18\n", "18"),  # a site's own wrapper
        ("", None),
        ("Submitted batch job 17\n", None),  # without --parsable
    ],
)
def test_the_number_of_a_job_elsewhere(text: str, number: str | None) -> None:
    assert answers.submitted(text) == number


def test_the_headers_of_clusters_are_left_out() -> None:
    assert list(answers.queue(QUEUE_OF_TWO_CLUSTERS)) == ["77", "78"]


def test_what_is_no_job_of_ours_is_left_out() -> None:
    assert answers.queue(QUEUE_WITH_SETS_OF_JOBS) == {}


def test_a_reason_may_hold_anything() -> None:
    assert answers.queue("1|name|PENDING||a, b:n[1-3]|c\n")["1"].reason == "a, b:n[1-3]|c"


def test_a_state_that_does_not_fit_its_column() -> None:
    job = answers.accounted("10|task-a-0|CANCELLED+|None assigned\n")["10"]
    assert (job.state, job.nodes) == ("CANCELLED", "")


def test_without_accounting_nothing_is_known() -> None:
    assert answers.accounted("Slurm accounting storage is disabled\n") == {}


# The codes of squeue(1) and sacct(1), 20.11 to 24.11; most are in the recorded queues.
@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place.WAITING, "PENDING CONFIGURING REQUEUED REQUEUE_HOLD REQUEUE_FED SPECIAL_EXIT"),
        (Place.RUNNING, "RUNNING COMPLETING SUSPENDED STOPPED SIGNALING STAGE_OUT RESIZING"),
        (Place.CANCELED, "CANCELLED PREEMPTED REVOKED"),
        (Place.ENDED, "COMPLETED FAILED TIMEOUT NODE_FAIL BOOT_FAIL DEADLINE OUT_OF_MEMORY"),
        (Place.UNKNOWN, "LIMBO running RUNNING+ CA"),
    ],
)
def test_what_a_state_means(place: Place, words: str) -> None:
    assert {answers.place_of(word) for word in words.split()} == {place}
    assert answers.place_of("") is Place.UNKNOWN


# From public reports, 17.11 to 23.02.
@pytest.mark.parametrize(
    "text",
    [
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "slurm_load_jobs error: Socket timed out on send/recv operation",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
        "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
        "squeue: error: slurm_receive_msg: Socket timed out on send/recv operation",
    ],
)
def test_what_is_to_be_tried_again_by_reports(text: str) -> None:
    assert answers.is_transient(text)


def test_a_complaint_in_one_line() -> None:
    text = "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job failed\n\n"
    assert answers.complaint(text) == "invalid partition specified: nope; Batch job failed"
