"""The isolation `container`: an image of somebody's choice, by podman or docker.

    TaskRunner
      ├─ podman run    the leader; it goes when the program has started
      └─ conmon        keeps the container, and tells podman how it ended
           └─ init     the first process inside, see container_init.py
                └─ the program

All that TaskRunner does to a container it does through the tool, by the name of the container,
which follows from the task: so whoever comes later finds it too.
"""

import hashlib
import json
import logging
import marshal
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from task_runner.isolation import container_usable, host_python
from task_runner.isolation.container_client import Client
from task_runner.isolation.container_guard import ContainerGuard, order_of, report_of
from task_runner.isolation.container_tools import Container, Mount, Podman
from task_runner.lib import inside
from task_runner.lib.errors import ValidationError
from task_runner.lib.guarded import Adopted, Child
from task_runner.lib.isolation import Isolation, Obstacle, Work, policy_of
from task_runner.lib.machine import Command
from task_runner.lib.machine_process import MachineProcess
from task_runner.lib.policy import Policy
from task_runner.lib.process import Identity, host, short_environment
from task_runner.lib.report import REPORT_FD
from task_runner.lib.task import Task, no_such_field
from task_runner.lib.task_dir import TaskDir, read_json
from task_runner.lib.work import STATUS_FD, memory_file

OPTIONS = ("image", "pull", "network", "mounts")
MOUNT_OPTIONS = ("source", "target", "writable")
PULL = ("never", "missing", "always")
IMAGE = r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}"
ORDER_FD = REPORT_FD + 1
MIN_PIDS = 16
"""The threads of runc count while it prepares the container from inside; it hangs without one."""
BOOT = (
    f"import sys; sys.path.append('{host_python.PLACE}/package'); "
    "from task_runner.isolation.container_init import main; main(sys.argv[1])"
)

log = logging.getLogger(__name__)


class ContainerIsolation(Isolation):
    """The root of an image, read-only; nothing of the host but `files/` and what is mounted."""

    own_limits = frozenset({"memory", "cpu", "pids", "openFiles"})

    def validate(self, task: Task, policy: Policy) -> None:
        """Check image, pull, network and mounts, and that limits hold. Raises ValidationError."""
        _check_options(task.isolation_options)
        _mounts(task.isolation_options, policy)
        if task.limits.get("pids", MIN_PIDS) < MIN_PIDS:
            raise ValidationError(f"a container takes {MIN_PIDS} to start", "limits.pids")
        for name in task.limits:
            why = container_usable.not_held(name, policy.container_command)
            if why:
                raise ValidationError(why, f"limits.{name}")

    def obstacle(self, policy: Policy) -> Obstacle | None:
        """Try a container without an image, until one has worked."""
        return container_usable.obstacle(policy.container_command)

    def wrap(self, work: Work) -> Command:
        """Return the command that starts the container; called in the process that becomes it.

        What the program is to find is told to the init in an order. So nothing that is secret is
        in the arguments or the environment of podman.
        """
        policy = policy_of(work.directory)
        shared = _mounts(work.task.isolation_options, policy)  # links may lead elsewhere by now
        tool = container_usable.tool(policy.container_command)
        _open_report(work)
        order, mounts = _hand_over(work, tool)
        options = work.task.isolation_options
        files = work.directory.files
        container = Container(
            name=name_of(work.directory),
            label=label_of(work.directory),
            image=options["image"],
            pull=options.get("pull", "never"),
            argv=host_python.argv(BOOT, order),
            env={"PYTHONHOME": host_python.PLACE},
            work_dir=files,
            mounts=(
                Mount(files, files, writable=True),
                *(Mount(path, path) for path in work.command.files),
                *(Mount(source, target) for source, target in host_python.mounts()),
                *mounts,
                *shared,
            ),
            network=options.get("network", False),
            limits=work.task.limits,
            descriptors=ORDER_FD - 2,
        )
        return Command(tool.run(container), short_environment())

    def guard(self, machine: MachineProcess, task: Task, directory: TaskDir) -> ContainerGuard:
        """Return a guard that asks the tool."""
        return ContainerGuard(Child(machine), client_of(directory), directory, task.limits)

    def adopt(self, leader: Identity, task: Task, directory: TaskDir) -> ContainerGuard:
        """Return a guard that asks the tool: the leader may have gone long ago."""
        leader_found = Adopted(leader, directory.path)
        return ContainerGuard(leader_found, client_of(directory), directory, task.limits)

    def remove(self, task: Task, directory: TaskDir) -> None:
        """Remove the container, where TaskRunner could not. Raises ToolError.

        One on another host, such as a node of a cluster, is out of reach, and only told of.
        """
        del task
        if not os.path.exists(report_of(directory)):
            return
        where = _host_of(directory)
        if where == host():
            client_of(directory).remove()
        else:
            log.warning("the container %s may be left on %s", name_of(directory), where)


def label_of(directory: TaskDir) -> str:
    """Return what tells a task from every other: also of other work directories, and later ones."""
    accepted = (read_json(directory.task) or {})["createdAt"]
    return f"{os.path.realpath(directory.path)} {accepted}"


def name_of(directory: TaskDir) -> str:
    """Return the name of the container of a task."""
    digest = hashlib.sha256(label_of(directory).encode()).hexdigest()
    return f"task-runner-{digest[:12]}-{directory.task_id}"


def _host_of(directory: TaskDir) -> str:
    """Return where the task runs or has run; here, when nothing else is known."""
    with suppress(ValueError):  # damaged
        return str((read_json(directory.status) or {}).get("host", host()))
    return host()


def client_of(directory: TaskDir) -> Client:
    """Return what asks the tool of a task about its container. Raises ToolError."""
    tool = container_usable.tool(policy_of(directory).container_command)
    return Client(tool, name_of(directory), label_of(directory))


def _check_options(options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in OPTIONS:
            raise no_such_field(name, "isolationOptions.")
    image = options.get("image")
    if not isinstance(image, str) or not re.fullmatch(IMAGE, image):
        raise ValidationError("the name of an image is needed", "isolationOptions.image")
    if options.get("pull", "never") not in PULL:
        raise ValidationError(f"it must be one of {', '.join(PULL)}", "isolationOptions.pull")
    if not isinstance(options.get("network", False), bool):
        raise ValidationError("it must be true or false", "isolationOptions.network")


def _mounts(options: Mapping[str, Any], policy: Policy) -> list[Mount]:
    """Return what is to be mounted, checked. Raises ValidationError."""
    field = "isolationOptions.mounts"
    mounts = options.get("mounts", [])
    if not isinstance(mounts, list) or not all(isinstance(mount, dict) for mount in mounts):
        raise ValidationError("it must be a list of objects", field)
    return [_mount(mount, policy, field) for mount in mounts]


def _mount(words: Mapping[str, Any], policy: Policy, field: str) -> Mount:
    for name in words:
        if name not in MOUNT_OPTIONS:
            raise no_such_field(name, f"{field}.")
    writable = words.get("writable", False)
    if not isinstance(writable, bool):
        raise ValidationError("it must be true or false", f"{field}.writable")
    source = words.get("source")
    check = policy.check_writable if writable else policy.check_read_only
    check(source, f"{field}.source")
    target = words.get("target", source)
    for name, path in (("source", source), ("target", target)):
        # Each is part of a list with commas.
        if not isinstance(path, str) or not re.fullmatch(r"/[^,\0]+", path):
            raise ValidationError("it must be an absolute path without a comma", f"{field}.{name}")
    return Mount(os.path.realpath(str(source)), target, writable)


def _open_report(work: Work) -> None:
    """Put a file in the place of the pipe to TaskRunner: another TaskRunner can read it too."""
    report = os.open(report_of(work.directory), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(report, REPORT_FD)
    os.close(report)
    if work.is_python:
        os.write(REPORT_FD, json.dumps({"python": True}).encode() + b"\n")


def _hand_over(work: Work, tool: Podman) -> tuple[str, list[Mount]]:
    """Give the init its order and the streams, as the tool can; return where the order is.

    Where no descriptors can be passed, the init opens what is mounted.
    """
    streams = () if tool.passes_descriptors else (1, 2, STATUS_FD, REPORT_FD)
    order = marshal.dumps(_order(work, {n: f"{host_python.PLACE}/{n}" for n in streams}))
    if tool.passes_descriptors:
        os.dup2(memory_file(order), ORDER_FD)
        os.set_inheritable(ORDER_FD, True)  # also when it had this number by itself
        return str(ORDER_FD), []
    path, place = order_of(work.directory), f"{host_python.PLACE}/order"
    with open(path, "wb") as file:
        file.write(order)
    paths = [(os.readlink(f"/proc/self/fd/{n}"), f"{host_python.PLACE}/{n}") for n in streams]
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 1)  # where docker says how it calls the container
    return place, [Mount(path, place), *(Mount(*pair, writable=True) for pair in paths)]


def _order(work: Work, streams: Mapping[int, str]) -> dict[str, Any]:
    """Return what container_init.py is told. The image has its own PATH, HOME and the like."""
    command = work.command
    if work.is_python:
        words = inside.words_of(work.task, [])
        command = command._replace(argv=("python3", "-c", inside.BOOT), stdin=words)
    usual = short_environment()
    return {
        "argv": command.argv,
        "env": {name: value for name, value in command.env.items() if usual.get(name) != value},
        "input": command.stdin,
        "blocked": tuple(map(int, command.blocked)),
        "grace_period": work.task.grace_period,
        "is_python": work.is_python,
        "report": REPORT_FD,
        "open": streams,
    }
