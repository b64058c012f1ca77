"""A batch system that does not answer keeps nobody waiting but those who ask about it."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from tests.node import running_node
from tests.waiting import wait_until

CROWD = 20
"""More than the service has threads."""


def test_tools_that_hang_hold_up_no_task(tmp_path: Path) -> None:
    gate, asked = tmp_path / "gate", tmp_path / "asked"
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sbatch", "squeue", "scancel", "sinfo", "scontrol"):
        tool = tools / name
        tool.write_text(f"#!/bin/sh\necho >> {asked}\nuntil [ -e {gate} ]; do sleep 0.05; done\n")
        tool.chmod(0o700)
    settings = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "TASK_RUNNER_ENVIRONMENTS": '{"slurm": {"patience": 600}}',
    }
    with running_node(tmp_path / "work", **settings) as node, ThreadPoolExecutor(CROWD) as crowd:
        url = f"http://127.0.0.1:{node.port}/v1/environments"
        answers = [crowd.submit(httpx2.get, url, timeout=300) for _ in range(CROWD)]
        wait_until(asked.exists)
        for _ in range(3):
            assert node.result(node.submit("echo", ["ECHO on"]))["outcome"] == "succeeded"
        assert len(asked.read_text()) == 1  # it hangs to this moment, and was not asked again
        gate.touch()
        assert {one.result().status_code for one in answers} == {200}
