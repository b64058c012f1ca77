"""A limit that is accepted holds; one that cannot be held is refused, with its name."""

import pytest

from tests.contract.conftest import Combination

MIB = 1 << 20
LIMITS = {"memory": 256 * MIB, "cpu": 1, "pids": 50, "openFiles": 64}
HOG = "import sys; b = bytearray({size}); print('had it')"


@pytest.mark.parametrize("name", LIMITS)
def test_it_is_shown_or_refused_by_name(combination: Combination, name: str) -> None:
    limits = {name: LIMITS[name]}
    task = {"machine": "command", "parameters": {"argv": ["true"]}, "limits": limits}
    answer = combination.node.http.post("/v1/tasks", json={**task, **combination.fields})
    if answer.status_code == 400:
        (error,) = answer.json()["errors"]
        assert error["field"] == f"limits.{name}"
        assert error["detail"]
    else:
        result = combination.node.result(answer.json()["taskId"])
        assert (result["outcome"], result["limits"]) == ("succeeded", limits)


def test_open_files(combination: Combination) -> None:
    task = combination.script("ulimit -n", limits={"openFiles": 77})
    assert combination.ending(task) == ("succeeded", 0)
    assert combination.log(task) == b"77\n"


def test_memory_is_enough_or_not(combination: Combination) -> None:
    """Without a group an allocation fails; with one the kernel kills, and that is told."""
    limits = {"memory": 128 * MIB}
    small = combination.program("python3", "-c", HOG.format(size=16 * MIB), limits=limits)
    large = combination.program("python3", "-c", HOG.format(size=512 * MIB), limits=limits)
    assert combination.ending(small) == ("succeeded", 0)
    assert combination.ending(large)[0] in {"failed", "crashed"}
    told = combination.node.result(large)["error"] or ""
    assert b"MemoryError" in combination.log(large) or "out of memory" in told


def test_run_time_and_output_are_limits_too(combination: Combination) -> None:
    task = combination.script("seq 100000; sleep 1000", limits={"runTime": 2, "output": 1000})
    assert combination.ending(task) == ("timeout", -2)
    view = combination.node.view(task)
    assert (view["timeout"], view["maxOutput"], view["limits"]) == (2, 1000, {})
