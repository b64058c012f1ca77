"""Podman and Docker: the words of their command lines, and what their answers mean.

Nothing is executed here: argv out, text in. See podman-run(1) and `docker run --help`.
"""

import json
import os
import resource
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

PROCESSES = 32768
"""Podman's own limit of processes of one user."""


LABEL = "task-runner.task"
"""What a container of ours has: which task it belongs to."""
QUESTION = '{"State":{{json .State}},"Labels":{{json .Config.Labels}}}'


class Mount(NamedTuple):
    """A file or directory of the host, and where it is inside."""

    source: str
    target: str
    writable: bool = False


class Container(NamedTuple):
    """What is to be started, in the background."""

    name: str
    label: str
    image: str
    pull: str
    argv: tuple[str, ...]
    """Executed as it is; what the image has as entry point is left out."""
    env: Mapping[str, str]
    """No secrets: they are arguments of the tool, which others can read."""
    work_dir: str
    mounts: tuple[Mount, ...]
    network: bool
    limits: Mapping[str, float]
    """Of `memory` (bytes), `cpu` (cores), `pids` and `openFiles`."""
    descriptors: int
    """How many the program is given besides 0 to 2, where the tool can do that."""


class Sight(NamedTuple):
    """What the tool knows of a container."""

    status: str
    pid: int
    """Of its first process, as the host sees it; 0 when there is none."""
    monitor: int
    """The pid of conmon; 0 where there is none."""
    exit_code: int
    out_of_memory: bool
    label: str | None
    """Whose it is; None when it is not one of ours."""

    @property
    def is_running(self) -> bool:
        """Whether something runs in it now."""
        return self.status in ("running", "paused", "stopping") and self.pid > 0

    @property
    def is_over(self) -> bool:
        """Whether something has run in it, and is over."""
        return self.status in ("exited", "stopped", "dead")


def is_monitor(arguments: list[bytes], name: str) -> bool:
    """Say whether these are the arguments of the conmon of a container, see conmon(8)."""
    return b"--exit-dir" in arguments and (b"-n", name.encode()) in pairwise(arguments)


def runtime_delete(arguments: list[bytes]) -> tuple[str, ...]:
    """Return what removes the container of a conmon from the runtime below, such as runc(8)."""
    value = {option: os.fsdecode(word) for option, word in pairwise(arguments)}
    return (value[b"-r"], "delete", "--force", value[b"-c"])


class Setup(NamedTuple):
    """How the tool is set up on this host."""

    version: str
    rootless: bool
    runtime: str
    controllers: frozenset[str]
    """Of the control groups: what it can limit."""


class Podman:
    """Podman; each container is kept by a conmon, which stays when the client has gone."""

    kind = "podman"
    passes_descriptors = True
    """The program gets the descriptors 0 to 2 of the client as they are, and as many more."""

    def __init__(self, command: tuple[str, ...]) -> None:
        """Use what `command` executes."""
        self.command = command

    def run(self, container: Container) -> tuple[str, ...]:
        """Return what starts a container. Whoever executes it is done when the program runs.

        It ends with 0 then; every other code is podman's own.
        """
        return (
            *(*self.command, "--log-level", "error", "run", "--detach", "--quiet"),
            *("--log-driver", "passthrough", "--preserve-fds", str(container.descriptors)),
            *("--systemd", "false", "--sdnotify", "ignore", "--http-proxy=false"),
            *("--user", "0:0", *_common(container), *self._open_files(container)),
            *("--entrypoint", json.dumps(container.argv), container.image),
        )

    def _open_files(self, container: Container) -> Iterable[str]:
        if "openFiles" in container.limits:
            yield from _open_files(container)
            # With one limit given, podman forgets those of containers.conf, and sets a higher one
            # of processes than a host without CAP_SYS_RESOURCE lets it.
            hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
            most = PROCESSES if hard == resource.RLIM_INFINITY else min(hard, PROCESSES)
            yield from ("--ulimit", f"nproc={most}:{most}")

    def inspect(self, name: str) -> tuple[str, ...]:
        """Return what tells the state of a container, for `sight`."""
        return (*self.command, "inspect", "--type", "container", "--format", QUESTION, name)

    def kill(self, name: str, signal: str) -> tuple[str, ...]:
        """Return what sends a signal to the first process of a container."""
        return (*self.command, "kill", "--signal", signal, name)

    def remove(self, name: str) -> tuple[str, ...]:
        """Return what removes a container, running or not; it need not exist."""
        return (*self.command, "rm", "--force", "--ignore", "--time", "0", "--volumes", name)

    def info(self) -> tuple[str, ...]:
        """Return what tells how it is set up, for `setup_of`."""
        return (*self.command, "info", "--format", "json")

    def probe(self, root: str, argv: tuple[str, ...], mounts: tuple[Mount, ...]) -> tuple[str, ...]:
        """Return what executes something in a container without an image: `root` is a directory."""
        words = (*self.command, "run", "--rm", "--network", "none")
        options = [word for mount in mounts for word in ("--mount", _mount(mount))]
        return (*words, *options, "--rootfs", root, *argv)


class Docker(Podman):
    """Docker; dockerd keeps the containers, and no descriptor reaches it."""

    kind = "docker"
    passes_descriptors = False

    def run(self, container: Container) -> tuple[str, ...]:
        """Return what starts a container. Whoever executes it is done when the program runs."""
        return (
            *(*self.command, "run", "--detach", "--log-driver", "none"),
            *("--user", f"{os.getuid()}:{os.getgid()}"),
            *("--tmpfs", "/run", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp"),  # noqa: S108
            *_common(container),
            *(_open_files(container) if "openFiles" in container.limits else ()),
            *("--entrypoint", container.argv[0], container.image, *container.argv[1:]),
        )

    def remove(self, name: str) -> tuple[str, ...]:
        """Return what removes a container, running or not; see `is_missing` for one that is not."""
        return (*self.command, "rm", "--force", "--volumes", name)


def tool_of(command: tuple[str, ...]) -> Podman:
    """Return the tool that a command line executes: podman, unless a word of it names docker."""
    return (Docker if "docker" in map(os.path.basename, command) else Podman)(command)


def sight(answer: str) -> Sight:
    """Read the answer to `inspect`. Raises ValueError when it is none."""
    try:
        container = json.loads(answer)
        state = container["State"]
        return Sight(
            status=state["Status"],
            pid=state["Pid"],
            monitor=state.get("ConmonPid", 0),
            exit_code=state["ExitCode"],
            out_of_memory=state["OOMKilled"],
            label=(container["Labels"] or {}).get(LABEL),
        )
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"not the state of a container: {answer!r:.200}") from problem


def is_missing(complaint: str) -> bool:
    """Say whether a question or an order failed because there is no such container."""
    return "no such container" in complaint.lower()


def setup_of(answer: str) -> Setup:
    """Read the answer to `info`, of podman or of docker. Raises ValueError when it is none."""
    try:
        info = json.loads(answer)
        if "host" not in info:
            return _setup_of_docker(info)
        host = info["host"]
        return Setup(
            version=info["version"]["Version"],
            rootless=host["security"]["rootless"],
            runtime=host["ociRuntime"]["name"],
            controllers=_controllers(host),
        )
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"not what is known of a set-up: {answer!r:.200}") from problem


def _controllers(host: Mapping[str, Any]) -> frozenset[str]:
    """Return what can limit; podman ignores limits, with a warning, where it has no right to."""
    if host["security"]["rootless"] and host["cgroupVersion"] == "v1":
        return frozenset()
    return frozenset(host["cgroupControllers"] or ())


def _setup_of_docker(info: Mapping[str, object]) -> Setup:
    flags = {"memory": "MemoryLimit", "cpu": "CpuCfsQuota", "pids": "PidsLimit"}
    options = info.get("SecurityOptions")
    return Setup(
        version=str(info["ServerVersion"]),
        rootless="name=rootless" in options if isinstance(options, list) else False,
        runtime=str(info["DefaultRuntime"]),
        controllers=frozenset(name for name, flag in flags.items() if info.get(flag)),
    )


def _common(container: Container) -> Iterable[str]:
    yield from ("--name", container.name, "--label", f"{LABEL}={container.label}")
    yield from ("--pull", container.pull)
    if not container.network:
        yield from ("--network", "none")
    yield from ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")
    for mount in container.mounts:
        yield from ("--mount", _mount(mount))
    yield from ("--workdir", container.work_dir)
    for name, value in container.env.items():
        yield from ("--env", f"{name}={value}")
    if "memory" in container.limits:
        size = f"{int(container.limits['memory'])}b"
        yield from ("--memory", size, "--memory-swap", size)  # the same: no swap
    if "cpu" in container.limits:
        yield from ("--cpus", f"{container.limits['cpu']:g}")
    if "pids" in container.limits:
        yield from ("--pids-limit", str(int(container.limits["pids"])))


def _mount(mount: Mount) -> str:
    mode = "" if mount.writable else ",readonly"
    return f"type=bind,source={mount.source},target={mount.target}{mode}"


def _open_files(container: Container) -> Iterable[str]:
    number = int(container.limits["openFiles"])
    yield from ("--ulimit", f"nofile={number}:{number}")
