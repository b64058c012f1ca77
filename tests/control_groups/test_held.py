"""A task cannot have more than its limits, all of its processes together."""

import time
from pathlib import Path

import pytest

from tests.control_groups.groups import NODE, group_of, numbers_in
from tests.node import Json, Node
from tests.waiting import wait_until

LIMIT = 48 << 20
OUT_OF_MEMORY = f"out of memory: the kernel killed 1 at the limit of {LIMIT} bytes"
FORKS = """
import os, time
count = 0
try:
    while count < 100:
        if os.fork() == 0:
            time.sleep(1000)
        count += 1
except BlockingIOError as problem:
    print(count, problem.strerror)
"""


@pytest.fixture(params=["none", "sandbox"])
def isolation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def take(size: int, then: str = "") -> str:
    """Return a command that takes so many MiB of memory, then does something."""
    return f"python3 -S -c 'import sys; data = bytearray({size} << 20); {then}'"


def run(node: Node, script: str, isolation: str = "none") -> Json:
    fields = {"isolation": isolation, "limits": {"memory": LIMIT}}
    return node.result(node.submit("command", {"script": script}, **fields))


def test_all_limits_can_be_held(unit_node: Node) -> None:
    view = unit_node.http.get("/v1/environments").json()
    held = ["cpu", "memory", "openFiles", "pids"]
    environments = {one["name"]: one["capabilities"] for one in view["environments"]}
    assert environments["multiprocess"]["limits"] == held
    isolations = {one["name"]: one["limits"] for one in view["isolations"]}
    assert isolations["none"] == isolations["sandbox"] == held


def test_memory_within_the_limit(unit_node: Node, isolation: str) -> None:
    view = run(unit_node, take(16), isolation)
    assert (view["outcome"], view["error"]) == ("succeeded", None)


def test_memory_beyond_the_limit(unit_node: Node, isolation: str) -> None:
    """Swap is no way out, though there is room in it."""
    assert "/dev/ubda" in Path("/proc/swaps").read_text()
    view = run(unit_node, f"exec {take(64)}", isolation)
    assert (view["outcome"], view["exitCode"], view["signal"]) == ("crashed", 137, "SIGKILL")
    assert view["error"] == OUT_OF_MEMORY


def test_a_child_beyond_the_limit(unit_node: Node) -> None:
    view = run(unit_node, f"{take(64)}; echo child $?; exit 7")
    assert (view["outcome"], view["exitCode"], view["error"]) == ("failed", 7, OUT_OF_MEMORY)
    assert b"child 137\n" in unit_node.log_of(view["taskId"])


def test_the_sum_of_all_processes_counts(unit_node: Node) -> None:
    """Each of them fits, and would into a limit of its own."""
    three = " ".join(f"{take(16, 'sys.stdin.read()')} <&9 &" for _ in range(3))
    view = run(unit_node, f"mkfifo hold; exec 9<>hold; {three} wait -n; kill 0")
    assert view["error"].startswith("out of memory: the kernel killed")


def test_processor_time(unit_node: Node) -> None:
    task = unit_node.sh("while :; do :; done", limits={"cpu": 0.25})
    group = group_of(unit_node, task)
    begin, before = time.monotonic(), numbers_in(group, "cpu.stat")
    wait_until(lambda: numbers_in(group, "cpu.stat")["nr_periods"] >= before["nr_periods"] + 30)
    spent, after = time.monotonic() - begin, numbers_in(group, "cpu.stat")
    unit_node.http.post(f"/v1/tasks/{task}/stop")
    assert unit_node.result(task)["outcome"] == "canceled"
    share = (after["usage_usec"] - before["usage_usec"]) / 1e6 / spent
    assert 0.1 < share < 0.4
    assert after["nr_throttled"] > before["nr_throttled"]


def test_processes(unit_node: Node, isolation: str) -> None:
    task = unit_node.submit(
        "command",
        {"argv": ["python3", "-S", "-c", FORKS]},
        isolation=isolation,
        limits={"pids": 10},
    )
    assert unit_node.result(task)["outcome"] == "succeeded"
    others = 7 if isolation == "sandbox" else 9
    assert unit_node.log_of(task) == f"{others} Resource temporarily unavailable\n".encode()


def test_a_sandbox_is_no_way_out_of_the_group(unit_node: Node) -> None:
    leave = f"echo 0 > {NODE}/cgroup.procs"
    task = unit_node.sh(leave, isolation="sandbox", limits={"pids": 10})
    assert unit_node.result(task)["outcome"] == "failed"
    assert b"Read-only file system" in unit_node.log_of(task)
