from typing import Any

import pytest

from task_runner.environments.slurm import commands, options
from task_runner.lib.errors import ValidationError
from task_runner.lib.task import task_from_dict
from task_runner.lib.task_dir import TaskDir

ALL: dict[str, Any] = {
    "cpus": 4,
    "memory": 3 << 20,
    "time_limit": 90,
    "partition": "main,big",
    "account": "physics",
    "qos": "high",
    "gres": "gpu:a100:2,shard:1",
    "constraint": "[rack1*2&(haswell|skylake)]",
    "sbatch": {"exclusive": True, "nice": 100, "nodelist": "n[1-2]"},
}


def task(**options: Any) -> dict[str, Any]:
    return {
        "machine": "echo",
        "parameters": [],
        "environment": "slurm",
        "environmentOptions": options,
    }


def refused(**options: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        task_from_dict(task(**options))
    return caught.value.field


def test_all_options_become_arguments_of_sbatch() -> None:
    found = task_from_dict(task(**ALL))
    assert options.arguments(found.environment_options) == [
        "--cpus-per-task=4",
        "--mem=3M",
        "--time=1:30",
        "--partition=main,big",
        "--account=physics",
        "--qos=high",
        "--gres=gpu:a100:2,shard:1",
        "--constraint=[rack1*2&(haswell|skylake)]",
        "--exclusive",
        "--nice=100",
        "--nodelist=n[1-2]",
    ]


def test_what_follows_from_the_limits() -> None:
    limits = {"memory": 256 << 20, "cpu": 1.5, "pids": 9, "openFiles": 99}
    assert options.arguments(options.asked_by(limits)) == ["--mem=320M", "--cpus-per-task=2"]
    assert options.asked_by({}) == {}
    assert options.asked_by(limits, ("mem-per-cpu", "nice")) == {"cpus": 2}
    assert options.asked_by(limits, ("mem", "cpus-per-gpu")) == {}


def test_every_option_has_a_meaning_and_a_rule() -> None:
    assert set(options.MEANINGS) == set(ALL) == set(options._CHECKS)


def test_memory_and_time_are_rounded_up() -> None:
    assert options.arguments({"memory": (1 << 20) + 1}) == ["--mem=2M"]
    assert options.arguments({"time_limit": 60.2}) == ["--time=1:01"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("cpus", value) for value in (0, -1, 1.5, "2", True, None)],
        *[("memory", value) for value in (0, "1G", 1.5)],
        *[("time_limit", value) for value in (0, "1:00", True, 1 << 40)],
        *[("partition", value) for value in ("", "a b", "a\nb", "a;b$c", 1, ["a"], "ä")],
        ("sbatch", []),
        ("Cpus", 1),
        ("nice", 1),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(name: str, value: object) -> None:
    assert refused(**{name: value}) == f"environmentOptions.{name}"


@pytest.mark.parametrize(
    "name", ["output", "wrap", "parsable", "array", "mem=1G --wrap", "Nice", "-p", "cpus", ""]
)
def test_what_decides_how_a_job_starts_cannot_be_given(name: str) -> None:
    assert refused(sbatch={name: "x"}) == f"environmentOptions.sbatch.{name}"


@pytest.mark.parametrize("value", [False, None, [], {}, "a\0b"])
def test_a_further_option_has_a_simple_value(value: object) -> None:
    assert refused(sbatch={"nice": value}) == "environmentOptions.sbatch.nice"


def test_the_time_limit_leaves_time_to_clean_up() -> None:
    assert refused(time_limit=15) == "environmentOptions.time_limit"
    assert task_from_dict(task(time_limit=16))
    assert task_from_dict({**task(time_limit=8), "gracePeriod": 2})


def test_other_environments_have_no_options() -> None:
    with pytest.raises(ValidationError) as caught:
        task_from_dict({**task(cpus=1), "environment": "multiprocess"})
    assert caught.value.field == "environmentOptions.cpus"


def test_a_name_is_of_one_job_alone() -> None:
    names = {commands.new_name("a") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("task-a-") for name in names)


def test_a_percent_in_a_path_is_no_pattern_of_slurm() -> None:
    argv = commands.submit(TaskDir.of("/a%j", "x"), "name", [], "job.sh", [])
    assert "--output=/a%%j/task-x/runner.log" in argv
