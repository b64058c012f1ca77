"""Whose container is removed: one that may be on this host."""

import json
import logging
from pathlib import Path

import pytest

from task_runner.isolation.container import ContainerIsolation
from task_runner.isolation.container_client import ToolError
from task_runner.isolation.container_guard import report_of
from task_runner.lib.policy import Policy
from task_runner.lib.process import host
from task_runner.lib.task import accepted, task_from_dict
from task_runner.lib.task_dir import TaskDir

FIELDS = {"machine": "command", "parameters": {"argv": ["true"]}}


def remove(path: Path, status: str | None, *, has_begun: bool = True) -> None:
    """Remove the container of a task, with a tool that is not there."""
    policy = Policy(container_command=("no-such-podman",))
    task = task_from_dict(FIELDS)._replace(isolation="container", task_id="a")
    directory = TaskDir(str(path), "a")
    Path(directory.task).write_text(json.dumps(accepted(task, None, policy)))
    if status is not None:
        Path(directory.status).write_text(status)
    if has_begun:
        Path(report_of(directory)).touch()
    ContainerIsolation().remove(task, directory)


@pytest.mark.parametrize("status", [json.dumps({"host": host()}), "damaged", None])
def test_one_that_may_be_here_is_asked_for(tmp_path: Path, status: str | None) -> None:
    with pytest.raises(ToolError, match="no-such-podman"):
        remove(tmp_path, status)


def test_one_on_another_host_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        remove(tmp_path, json.dumps({"host": "n17"}))
    assert "-a may be left on n17" in caplog.text


def test_nobody_is_asked_where_there_was_none(tmp_path: Path) -> None:
    remove(tmp_path, None, has_begun=False)
