"""The command lines of podman and docker, and what their answers mean."""

import itertools
import json
from typing import Any

import pytest

from task_runner.isolation.container_tools import (
    Container,
    Docker,
    Mount,
    Podman,
    Sight,
    is_missing,
    is_monitor,
    runtime_delete,
    setup_of,
    sight,
    tool_of,
)

CONTAINER = Container(
    name="task-runner-0123-abc",
    label="/srv/task-abc 2026-11-24T21:00:00+00:00",
    image="localhost/tools:1",
    pull="never",
    argv=("/run/loader", "python", "-c", "print('hello')"),
    env={"PYTHONHOME": "/run/task-runner"},
    work_dir="/srv/task-abc/files",
    mounts=(Mount("/srv/task-abc/files", "/srv/task-abc/files", True), Mount("/a", "/b")),
    network=False,
    limits={},
    descriptors=3,
)

# What podman 4.3.1 says; only the times and unused parts are left out.
RUNNING = (
    '{"State":{"OciVersion":"1.0.2-dev","Status":"running","Running":true,"Paused":false,'
    '"Restarting":false,"OOMKilled":false,"Dead":false,"Pid":29313,"ConmonPid":29299,"ExitCode":0,'
    '"Error":"","Health":{"Status":"","FailingStreak":0,"Log":null},'
    '"CgroupPath":"/libpod_parent/libpod-a86a"},"Labels":{"task-runner.task":"mine"}}\n'
)
EXITED = (
    '{"State":{"OciVersion":"1.0.2-dev","Status":"exited","Running":false,"Paused":false,'
    '"Restarting":false,"OOMKilled":false,"Dead":false,"Pid":0,"ExitCode":139,"Error":""},'
    '"Labels":null}\n'
)
CREATED = EXITED.replace('"exited"', '"created"').replace("139", "0")
# What the documentation of the Engine API of docker (1.43) has.
OF_DOCKER = (
    '{"State":{"Status":"exited","Running":false,"Paused":false,"Restarting":false,'
    '"OOMKilled":true,"Dead":false,"Pid":0,"ExitCode":137,"Error":""},'
    '"Labels":{"task-runner.task":"mine"}}\n'
)

INFO: dict[str, Any] = {
    "host": {
        "cgroupVersion": "v2",
        "cgroupControllers": ["memory", "pids"],
        "ociRuntime": {"name": "crun"},
        "security": {"rootless": True},
    },
    "version": {"Version": "4.3.1"},
}


def pairs(argv: tuple[str, ...]) -> list[tuple[str, str]]:
    return list(itertools.pairwise(argv))


def test_podman_starts_a_container_and_goes() -> None:
    argv = Podman(("podman", "--runtime", "runc")).run(CONTAINER)
    assert argv[:6] == ("podman", "--runtime", "runc", "--log-level", "error", "run")
    assert "--detach" in argv
    assert {
        ("--name", "task-runner-0123-abc"),
        ("--label", "task-runner.task=/srv/task-abc 2026-11-24T21:00:00+00:00"),
        ("--log-driver", "passthrough"),
        ("--preserve-fds", "3"),
        ("--pull", "never"),
        ("--network", "none"),
        ("--cap-drop", "all"),
        ("--security-opt", "no-new-privileges"),
        ("--workdir", "/srv/task-abc/files"),
        ("--env", "PYTHONHOME=/run/task-runner"),
        ("--mount", "type=bind,source=/srv/task-abc/files,target=/srv/task-abc/files"),
        ("--mount", "type=bind,source=/a,target=/b,readonly"),
    } <= set(pairs(argv))
    assert "--read-only" in argv
    assert argv[-3:] == ("--entrypoint", json.dumps(CONTAINER.argv), "localhost/tools:1")


def test_with_the_network_it_is_the_default_of_the_tool() -> None:
    assert "--network" not in Podman(("podman",)).run(CONTAINER._replace(network=True))


def test_limits() -> None:
    limits = {"memory": 1 << 26, "cpu": 0.5, "pids": 20, "openFiles": 64}
    for tool in (Podman(("podman",)), Docker(("docker",))):
        assert {
            ("--memory", "67108864b"),
            ("--memory-swap", "67108864b"),
            ("--cpus", "0.5"),
            ("--pids-limit", "20"),
            ("--ulimit", "nofile=64:64"),
        } <= set(pairs(tool.run(CONTAINER._replace(limits=limits))))
        assert not {"--memory", "--cpus", "--pids-limit", "--ulimit"} & set(tool.run(CONTAINER))


def test_docker_has_no_descriptors_to_pass() -> None:
    argv = Docker(("docker",)).run(CONTAINER)
    assert argv[:3] == ("docker", "run", "--detach")
    assert not {"passthrough", "--preserve-fds", "--quiet", "--systemd"} & set(argv)
    tail = ("--entrypoint", "/run/loader", "localhost/tools:1", "python", "-c", "print('hello')")
    assert argv[-6:] == tail


def test_which_tool_a_command_is() -> None:
    assert type(tool_of(("podman",))) is Podman
    assert type(tool_of(("env", "A=b", "podman", "--runtime", "runc"))) is Podman
    assert type(tool_of(("/usr/bin/docker",))) is Docker
    assert type(tool_of(("env", "DOCKER_HOST=x", "docker", "--tls"))) is Docker


def test_a_running_container_is_seen() -> None:
    seen = sight(RUNNING)
    assert seen == Sight("running", 29313, 29299, 0, out_of_memory=False, label="mine")
    assert (seen.is_running, seen.is_over) == (True, False)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (EXITED, Sight("exited", 0, 0, 139, out_of_memory=False, label=None)),
        (OF_DOCKER, Sight("exited", 0, 0, 137, out_of_memory=True, label="mine")),
    ],
)
def test_a_container_that_is_over_is_seen(answer: str, expected: Sight) -> None:
    assert sight(answer) == expected
    assert (sight(answer).is_running, sight(answer).is_over) == (False, True)


def test_a_container_that_was_only_made_is_neither() -> None:
    assert (sight(CREATED).is_running, sight(CREATED).is_over) == (False, False)


@pytest.mark.parametrize("answer", ["", "null", "[]", "{}", '{"State":{}}', "Error: no"])
def test_what_is_no_state_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        sight(answer)


def test_a_missing_container_is_told_from_a_failure() -> None:
    assert is_missing("Error: inspecting object: no such container task-runner-1")
    assert is_missing("Error: No such container: task-runner-1")
    assert not is_missing("Error: database is locked")


def test_the_set_up() -> None:
    setup = setup_of(json.dumps(INFO))
    assert (setup.version, setup.rootless, setup.runtime) == ("4.3.1", True, "crun")
    assert setup.controllers == {"memory", "pids"}


def test_without_root_there_are_no_limits_in_version_1_of_control_groups() -> None:
    host = {**INFO["host"], "cgroupVersion": "v1"}
    assert setup_of(json.dumps({**INFO, "host": host})).controllers == frozenset()


def test_the_set_up_of_docker() -> None:
    info = {
        "ServerVersion": "24.0.7",
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
        "DefaultRuntime": "runc",
        "MemoryLimit": True,
        "CpuCfsQuota": True,
        "PidsLimit": False,
    }
    setup = setup_of(json.dumps(info))
    assert (setup.version, setup.rootless, setup.runtime) == ("24.0.7", True, "runc")
    assert setup.controllers == {"memory", "cpu"}


@pytest.mark.parametrize("answer", ["", "null", "{}", '{"host":{}}'])
def test_what_is_no_set_up_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        setup_of(answer)


# The arguments of conmon 2.1.6 as podman 4.3.1 starts it; some paths are shorter.
CONMON = [
    *(b"/usr/bin/conmon", b"--api-version", b"1", b"-c", b"90aa0458", b"-u", b"90aa0458"),
    *(b"-r", b"/usr/bin/runc", b"-b", b"/graph/userdata", b"-p", b"/run/pidfile"),
    *(b"-n", b"task-runner-0123-abc", b"--exit-dir", b"/run/libpod/exits", b"--full-attach"),
    *(b"-l", b"passthrough", b"--exit-command", b"/usr/bin/podman", b"--exit-command-arg"),
    *(b"90aa0458", b"--runtime-opt", b"--preserve-fds", b"--runtime-opt", b"3"),
]


def test_conmon_is_known_by_its_arguments() -> None:
    assert is_monitor(CONMON, "task-runner-0123-abc")
    assert not is_monitor(CONMON, "task-runner-0123-ab")
    assert not is_monitor(
        [b"podman", b"rm", b"-n", b"task-runner-0123-abc"], "task-runner-0123-abc"
    )


def test_what_removes_its_container_from_the_runtime() -> None:
    assert runtime_delete(CONMON) == ("/usr/bin/runc", "delete", "--force", "90aa0458")
