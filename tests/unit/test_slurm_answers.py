"""What Slurm prints, recorded from 22.05; other releases as their manuals and issues show."""

import pytest

from task_runner.environments.base import Place
from task_runner.environments.slurm import answers
from task_runner.environments.slurm.answers import Job

QUEUE_22_05 = """\
4|task-a-0|PENDING||JobHeldUser
5|task-a-0|PENDING||BadConstraints
9|task-a-0|PENDING||Resources
2|task-a-0|COMPLETING|n1|None
3|task-a-0|COMPLETED|n2|None
12|task-a-0|RUNNING|n[1-2]|None
17|task-a-0|NODE_FAIL|n3|None
18|task-a-0|PENDING||ReqNodeNotAvail, UnavailableNodes:n[1-3]
"""
QUEUE_OF_TWO_CLUSTERS = """\
CLUSTER: alpha
77|task-a-0|RUNNING|cn001|None
CLUSTER: beta
78|task-a-0|PENDING||(null)
"""
QUEUE_WITH_ARRAYS = """\
80_[1-10%2]|task-a-0|PENDING||JobArrayTaskLimit
80_1|task-a-0|RUNNING|cn1|None
81+0|task-a-0|RUNNING|cn2|None
slurm_load_jobs error: Unable to contact slurm controller (connect failure)
82|task-a-0|RUNNING
"""
SACCT_23_11 = """\
7|task-a-0|COMPLETED|node1
8|task-a-0|CANCELLED by 1000|node2
9|task-a-0|NODE_FAIL|node3
10|task-a-0|CANCELLED+|None assigned
11|task-a-0|OUT_OF_MEMORY|node[1-2]
9.batch|task-a-0|CANCELLED|node3
"""
CONFIGURATION_22_05 = """\
Configuration data as of 2026-11-24T21:24:40
AccountingStorageBackupHost = (null)
ClusterName             = test
KillOnBadExit           = 0
KillWait                = 30 sec
SLURM_VERSION           = 22.05.8
TaskPlugin              = task/none
TaskPluginParam         = (null type)

Slurmctld(primary) at vm is UP
"""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("17\n", "17"),  # every release
        ("17;alpha\n", "17"),  # with --clusters
        ("sbatch: Checking quota ...\nYou have 12 GB left.\n18\n", "18"),  # a site's own wrapper
        ("", None),
        ("Submitted batch job 17\n", None),  # without --parsable
        ("sbatch: error: Batch job submission failed: Invalid account\n", None),
    ],
)
def test_the_number_of_a_job(text: str, number: str | None) -> None:
    assert answers.submitted(text) == number


def test_a_queue() -> None:
    jobs = answers.queue(QUEUE_22_05)
    assert list(jobs) == ["4", "5", "9", "2", "3", "12", "17", "18"]
    assert jobs["4"] == Job("4", "task-a-0", "PENDING", "", "JobHeldUser")
    assert jobs["12"] == Job("12", "task-a-0", "RUNNING", "n[1-2]", "")
    assert jobs["18"].reason == "ReqNodeNotAvail, UnavailableNodes:n[1-3]"


def test_the_headers_of_clusters_are_left_out() -> None:
    assert list(answers.queue(QUEUE_OF_TWO_CLUSTERS)) == ["77", "78"]


def test_what_is_no_job_of_ours_is_left_out() -> None:
    assert answers.queue(QUEUE_WITH_ARRAYS) == {}


def test_a_reason_may_hold_anything() -> None:
    assert answers.queue("1|name|PENDING||a|b\n")["1"].reason == "a|b"


def test_the_accounting() -> None:
    jobs = answers.accounted(SACCT_23_11)
    assert jobs["7"] == Job("7", "task-a-0", "COMPLETED", "node1")
    assert jobs["8"] == Job("8", "task-a-0", "CANCELLED", "node2", "by 1000")
    assert (jobs["10"].state, jobs["10"].nodes) == ("CANCELLED", "")
    assert list(jobs) == ["7", "8", "9", "10", "11"]


def test_without_accounting_nothing_is_known() -> None:
    assert answers.accounted("Slurm accounting storage is disabled\n") == {}


# The codes of squeue(1) and sacct(1), 20.11 to 24.11.
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


@pytest.mark.parametrize(
    "text",
    [
        # 22.05, recorded: the controller is down; munged is down; slurm.conf is not there.
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller "
        "(connect failure)",
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sbatch: error: If munged is up, restart with --num-threads=10",
        "sbatch: fatal: Unable to process configuration file",
        # From public reports, 17.11 to 23.02.
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "slurm_load_jobs error: Socket timed out on send/recv operation",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
        "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
        "sbatch: error: Batch job submission failed: Protocol authentication error",
        "squeue: error: slurm_receive_msg: Socket timed out on send/recv operation",
    ],
)
def test_what_is_to_be_tried_again(text: str) -> None:
    assert answers.is_transient(text)


@pytest.mark.parametrize(
    "text",
    [
        "sbatch: error: invalid partition specified: nope\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified",
        "sbatch: error: Batch job submission failed: Invalid account or account/partition "
        "combination specified",
        "sbatch: error: Batch job submission failed: Requested node configuration is not available",
        "sbatch: error: Batch job submission failed: Invalid qos specification",
        "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job "
        "submit limit, user's size and/or time limits)",
        "sbatch: unrecognized option '--prefer=a'",
    ],
)
def test_what_is_refused_for_good(text: str) -> None:
    assert not answers.is_transient(text)


def test_a_complaint_in_one_line() -> None:
    text = "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job failed\n\n"
    assert answers.complaint(text) == "invalid partition specified: nope; Batch job failed"


def test_a_setting() -> None:
    assert answers.setting(CONFIGURATION_22_05, "KillWait") == "30 sec"
    assert answers.setting(CONFIGURATION_22_05, "ClusterName") == "test"
    assert answers.setting(CONFIGURATION_22_05, "Kill") is None
