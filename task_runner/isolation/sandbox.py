"""The isolation `sandbox`: namespaces of its own, by bubblewrap (bwrap(1)), version 0.8 or later.

    TaskRunner
      └─ bwrap          the leader; it waits, outside
           └─ init      the first process inside, see sandbox_init.py; all ends with it
                └─ the program, in a session of its own

bwrap tells a signal from an exit code no more than a shell does, so the init reports the wait
status of the program to TaskRunner. SIGTERM stays blocked in bwrap and is passed on by the init.
"""

import functools
import marshal
import os
import signal
import sys
from typing import Any

from task_runner.isolation.sandbox_view import View, arguments_of
from task_runner.lib.errors import ValidationError
from task_runner.lib.guarded import Adopted, Child
from task_runner.lib.inside import PACKAGE_PARENT
from task_runner.lib.isolation import Isolation, Obstacle, Work, policy_of
from task_runner.lib.machine import Command
from task_runner.lib.machine_process import MachineProcess
from task_runner.lib.policy import Policy
from task_runner.lib.process import Identity, short_environment
from task_runner.lib.report import REPORT_FD
from task_runner.lib.task import Task, no_such_field
from task_runner.lib.task_dir import TaskDir
from task_runner.lib.work import STATUS_FD, memory_file

PROGRAM = "bwrap"
OPTIONS = ("network", "readOnly", "writable")
BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from task_runner.isolation.sandbox_init import main; main(int(sys.argv[2]))"
)
PROBE_PATIENCE = 20.0
"""Seconds that an empty sandbox may take; on an idle computer it takes milliseconds."""


class Sandbox(Isolation):
    """All is read-only or hidden but the task's `files/`; nothing is shared but the kernel."""

    def validate(self, task: Task, policy: Policy) -> None:
        """Check network, readOnly and writable. Raises ValidationError."""
        options = task.isolation_options
        for name in options:
            if name not in OPTIONS:
                raise no_such_field(name, "isolationOptions.")
        if not isinstance(options.get("network", False), bool):
            raise ValidationError("it must be true or false", "isolationOptions.network")
        for path in _paths(options, "readOnly"):
            policy.check_read_only(path, "isolationOptions.readOnly")
        for path in _paths(options, "writable"):
            policy.check_writable(path, "isolationOptions.writable")

    def obstacle(self, policy: Policy) -> Obstacle | None:
        """Try an empty sandbox, until one has worked."""
        del policy
        try:
            _probe()
        except FileNotFoundError:
            return Obstacle("there is no program bwrap", "Install the package bubblewrap")
        except OSError as problem:
            return Obstacle(
                f"bwrap cannot make a sandbox: {problem}",
                "It takes bubblewrap 0.8 or later and user namespaces (see user_namespaces(7))",
            )
        return None

    def wrap(self, work: Work) -> Command:
        """Return the command of bubblewrap; called in the process that becomes it.

        What the program is to find is handed to the init in memory: an environment of the task's
        making must not reach bwrap, which runs outside, nor secrets its arguments.
        """
        options = work.task.isolation_options
        policy = policy_of(work.directory)
        self.validate(work.task, policy)  # links may lead elsewhere by now
        view = View(
            files=work.directory.files,
            hidden=(work.directory.path, *policy.hidden),
            shown=(*work.command.files, *_python()),
            read_only=tuple(options.get("readOnly", ())),
            writable=tuple(options.get("writable", ())),
            network=options.get("network", False),
        )
        init = (sys.executable, "-S", "-I", "-c", BOOT, PACKAGE_PARENT, str(_hand_over(work)))
        environment = {**short_environment(), "TASK_RUNNER_DIR": work.directory.path}
        argv = (PROGRAM, *arguments_of(view), "--", *init)
        return Command(argv, environment, blocked=(signal.SIGTERM,))

    def guard(self, machine: MachineProcess, task: Task, directory: TaskDir) -> "SandboxChild":
        """Return a guard that knows of the init."""
        del task, directory
        return SandboxChild(machine)

    def adopt(self, leader: Identity, task: Task, directory: TaskDir) -> "AdoptedSandbox":
        """Return a guard that knows of the init."""
        del task
        return AdoptedSandbox(leader, directory.path)


class SandboxChild(Child):
    """A sandbox of this TaskRunner."""

    def remind(self) -> bool:
        """See Guarded. The init is in the group, and may not have stood when the first came."""
        if self._machine.has_heard():
            return False
        self._signal_group(signal.SIGTERM)
        return True

    def collect(self) -> tuple[int | None, dict[str, Any] | None, dict[str, Any] | None]:
        """See Guarded. The wait status is the program's, as the init has seen it."""
        status, report, usage = super().collect()
        return *program_end(status, report or {}), usage


class AdoptedSandbox(Adopted):
    """A sandbox whose TaskRunner was killed: bwrap and the init stand for all that is inside."""

    def _members(self) -> list[Identity]:
        return [member for member in super()._members() if self._is_in_group(member)]


def program_end(
    status: int | None, report: dict[str, Any]
) -> tuple[int | None, dict[str, Any] | None]:
    """Return wait status and last words of the program, of those of bwrap and init together."""
    inside = report.get("status", -1)
    if 0 <= inside <= 0xFFFF and (os.WIFEXITED(inside) or os.WIFSIGNALED(inside)):
        return inside, report
    if "not_started" in report or (status is not None and os.WIFSIGNALED(status)):
        return status, report
    if "entered" not in report:
        said = report.get("said", "").strip() or "it said nothing"
        return status, {"not_started": f"bubblewrap could not make the sandbox: {said}"}
    return None, None  # the init was killed, and everything inside with it


def _paths(options: Any, name: str) -> list[Any]:
    paths = options.get(name, [])
    if not isinstance(paths, list):
        raise ValidationError("it must be a list of paths", f"isolationOptions.{name}")
    return paths


def _python() -> tuple[str, ...]:
    """Return where this Python and its modules are, and the Task Runner.

    `sys.prefix` is not that of a virtual environment with `-S`, as Python 3.13 and older start.
    """
    environment = os.path.dirname(os.path.dirname(sys.executable))
    return (sys.base_prefix, environment, PACKAGE_PARENT, *filter(os.path.isabs, sys.path))


def _hand_over(work: Work) -> int:
    """Arrange the descriptors as bwrap and the init need them; return that of the order.

    The init sees the end of a pipe when bwrap is gone, however that ends. bwrap holds the other
    end as its standard input; as its standard error it has the report, where TaskRunner finds it.
    """
    lifeline, hold = os.pipe()
    stdin = memory_file(work.command.stdin) if work.command.stdin else os.dup(0)
    stderr = os.dup(2)
    order = {
        "argv": work.command.argv,
        "env": dict(work.command.env),
        "blocked": tuple(map(int, work.command.blocked)),
        "grace_period": work.task.grace_period,
        "is_python": work.is_python,
        "lifeline": lifeline,
        "stdin": stdin,
        "stderr": stderr,
        "report": REPORT_FD,
    }
    fd = memory_file(marshal.dumps(order))
    os.dup2(hold, 0)
    os.dup2(REPORT_FD, 2)
    for inherited in (lifeline, stdin, stderr, fd, REPORT_FD, STATUS_FD):
        os.set_inheritable(inherited, True)
    return fd


@functools.cache
def _probe() -> None:
    """Make an empty sandbox. Raises OSError with what bwrap says, FileNotFoundError without it."""
    import subprocess

    argv = (PROGRAM, *arguments_of(View("/", (), (), (), (), False)), "--", "true")
    try:
        done = subprocess.run(
            argv,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=short_environment(),
            timeout=PROBE_PATIENCE,
        )
    except subprocess.TimeoutExpired as problem:
        raise OSError(str(problem)) from problem
    if done.returncode != 0:
        raise OSError(done.stderr.strip() or f"exit code {done.returncode}")
