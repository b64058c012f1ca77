"""The shapes of requests and answers, for validation and for OpenAPI.

The rules behind the types (lengths, patterns, what a machine accepts) are checked by
`task_runner.lib.task`, which also serves those who use no HTTP.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from task_runner.lib.outcome import Outcome
from task_runner.lib.state import State
from task_runner.lib.task import (
    DEFAULT_GRACE_PERIOD,
    MAX_BYTES,
    MAX_PRIORITY,
    MAX_SECONDS,
    TASK_ID,
)

EXAMPLES = {
    "echo": {
        "summary": "A script of the echo machine",
        "value": {"machine": "echo", "parameters": ["ECHO hello", "SLEEP 1", "LOG INFO done"]},
    },
    "command": {
        "summary": "A program with arguments, a time-out and a label",
        "value": {
            "machine": "command",
            "parameters": {"argv": ["uname", "-a"]},
            "timeout": 60,
            "labels": {"purpose": "inventory"},
        },
    },
    "script": {
        "summary": "A shell script under an identifier of the client's, safe to send again",
        "value": {
            "taskId": "nightly-2026-11-24",
            "machine": "command",
            "parameters": {"script": "set -e\ndate\nmake -C /srv/project all\n"},
        },
    },
}
RERUN_EXAMPLES = {
    "same": {"summary": "Just once more", "value": {}},
    "changed": {
        "summary": "With more time, and without a name",
        "value": {"timeout": 600, "name": None, "labels": {"attempt": "2"}},
    },
}


class TaskRequest(BaseModel):
    """A task to run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    machine: str = Field(description="What is done: `echo`, `command`, or an installed plug-in.")
    parameters: Any = Field(None, description="What the machine is to do; see its documentation.")
    taskId: str | None = Field(  # noqa: N815  - the name on the wire
        None,
        description="An identifier of the client's choice makes it safe to send a request again. "
        "Without one, the task gets 8 hexadecimal digits.",
        pattern=f"^{TASK_ID}$",
    )
    name: str | None = Field(None, description="A name for people.")
    labels: dict[str, str] = Field({}, description="Pairs to find tasks by.")
    environment: str = Field(
        "multiprocess",
        description="Where the task runs, see `/v1/environments`; by default what the node's "
        "setting `environment` says.",
    )
    environmentOptions: dict[str, Any] = Field(  # noqa: N815
        {}, description="What the environment is to provide; each has its own."
    )
    isolation: str = Field(
        "none",
        description="What stands around it: `none`, `sandbox`, `container`, or a plug-in.",
    )
    isolationOptions: dict[str, Any] = Field(  # noqa: N815
        {}, description="What the isolation is to allow; see its documentation."
    )
    limits: dict[str, int | float] = Field(
        {}, description="What it may use: `memory cpu pids openFiles output runTime`."
    )
    env: dict[str, str] = Field(
        {}, description="Environment variables. The values are never shown again."
    )
    timeout: float | None = Field(
        None, gt=0, le=MAX_SECONDS, description="Seconds after which the task is stopped."
    )
    gracePeriod: float = Field(  # noqa: N815
        DEFAULT_GRACE_PERIOD,
        ge=0,
        le=MAX_SECONDS,
        description="Seconds for cleaning up when it is stopped; then everything is killed.",
    )
    priority: int = Field(
        0,
        ge=-MAX_PRIORITY,
        le=MAX_PRIORITY,
        description="Among waiting tasks, a higher one starts first, then an older one.",
    )
    rerunOf: str | None = Field(  # noqa: N815
        None, description="The task that this one repeats.", pattern=f"^{TASK_ID}$"
    )
    maxOutput: int | None = Field(  # noqa: N815
        None,
        ge=0,
        le=MAX_BYTES,
        description="Bytes that a log keeps of the beginning of the output. What comes after it is "
        "read and dropped, but for the last 64 KiB; a line between the two tells how much is "
        "missing.",
    )
    stderr: Literal["merged", "separate"] = Field(
        "merged", description="`separate`: standard error has a log of its own, `?stream=stderr`."
    )


class TaskState(BaseModel):
    """A task in a few words."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"taskId": "3df2bb24", "state": "running"}}
    )

    taskId: str  # noqa: N815
    state: State


class Usage(BaseModel):
    """What the machine and all it started have used."""

    userSeconds: float  # noqa: N815
    systemSeconds: float  # noqa: N815
    maxRssBytes: int  # noqa: N815


class TaskView(TaskState):
    """Everything known of a task. What is not known yet, or never will be, is null."""

    machine: str
    parameters: Any = Field(None, description="Only in the view of a single task.")
    env: list[str] = Field([], description="The names; only in the view of a single task.")
    name: str | None
    labels: dict[str, str]
    environment: str
    environmentOptions: dict[str, Any]  # noqa: N815
    isolation: str
    isolationOptions: dict[str, Any]  # noqa: N815
    limits: dict[str, int | float]
    timeout: float | None
    gracePeriod: float  # noqa: N815
    priority: int
    rerunOf: str | None  # noqa: N815
    maxOutput: int | None = None  # noqa: N815
    outputLimit: int | None = Field(  # noqa: N815
        None, description="The `maxOutput` that holds: the task's own, or that of the node."
    )
    stderr: str = "merged"
    resources: dict[str, list[str]] = Field(
        description="What the task wants to use, `shared` or `exclusive`; not enforced yet."
    )
    createdAt: str  # noqa: N815
    startedAt: str | None  # noqa: N815
    updatedAt: str | None  # noqa: N815
    finishedAt: str | None  # noqa: N815
    outcome: Outcome | None
    exitCode: int | None = Field(  # noqa: N815
        description="The task's own; -1 canceled, -2 time-out, -3 exception, 128 + n signal n."
    )
    returnCode: int | None = Field(  # noqa: N815
        description="With what the machine itself ended, also when it was stopped."
    )
    signal: str | None
    error: str | None
    stop: dict[str, str] | None = Field(description="Why it is being stopped, and since when.")
    status: dict[str, Any] | None = Field(description="What the machine says of itself.")
    processId: int | None = Field(description="Of its TaskRunner.")  # noqa: N815
    outputSize: int | None = Field(description="Bytes of log, once it is complete.")  # noqa: N815
    outputDropped: int | None = Field(  # noqa: N815
        description="Bytes of output that the log does not keep, so far."
    )
    stderrSize: int | None = Field(  # noqa: N815
        description="As outputSize, of a log of its own for standard error."
    )
    stderrDropped: int | None = Field(description="As outputDropped, of that one.")  # noqa: N815
    environmentStatus: dict[str, Any] | None = Field(  # noqa: N815
        description="What the environment says of it, when it runs elsewhere: `place` (waiting, "
        "running, canceled, ended, missing, unknown), `says` and more."
    )
    usage: Usage | None


class FileEntry(BaseModel):
    """Something that a task has left."""

    path: str = Field(description="Below `files/`; bytes that are no UTF-8 are replaced.")
    type: Literal["file", "directory", "symlink", "fifo", "socket", "device"]
    size: int | None = Field(description="Bytes of a file.")
    modifiedAt: str  # noqa: N815
    href: str | None = Field(description="Where a file can be got.")


class MachineView(BaseModel):
    """What can be run."""

    name: str
    description: str | None = Field(description="In one line.")
    schema_: dict[str, Any] | None = Field(
        alias="schema", description="JSON Schema of `parameters`; null when the machine has none."
    )
    error: str | None = Field(description="Why it cannot be used; null when it can.")


class Versions(BaseModel):
    """Of what the node is made of; `libraries` has names and versions."""

    taskRunner: str  # noqa: N815
    python: str
    kernel: str
    libraries: dict[str, str]


class Capacity(BaseModel):
    """How much there is, and how much of it is in use."""

    maxRunning: int | None = Field(description="Null: no limit.")  # noqa: N815
    running: int = Field(description="Tasks that run, over all workers.")
    waiting: int = Field(description="Tasks that wait for a free slot.")
    cores: int = Field(description="Processors that this node may use.")
    load: list[float] = Field(description="Of the computer, over 1, 5 and 15 minutes.")
    memoryTotal: int = Field(description="Bytes.")  # noqa: N815
    memoryAvailable: int | None = Field(  # noqa: N815
        description="Bytes that can be used without swapping; null when nobody knows."
    )


class Disk(BaseModel):
    """The file system of the work directory, in bytes."""

    path: str
    total: int
    free: int = Field(description="What the user of this node can still use.")


class SystemView(BaseModel):
    """What a node is, and how it does."""

    versions: Versions
    host: str
    architecture: str
    uptime: float = Field(description="Seconds that this worker of the service has been there.")
    tasks: dict[State, int] = Field(description="How many there are in each state.")
    capacity: Capacity
    disk: Disk
    limits: dict[str, int | None] = Field(
        description="`maxBodyBytes`, the largest request; `maxRunning`, null without a limit."
    )


class Valid(BaseModel):
    """The task would be accepted."""

    valid: bool = True


class EnvironmentCapabilities(BaseModel):
    """What an environment can do, the same on every node."""

    elsewhere: bool = Field(description="Tasks may run on another machine than the service.")
    limits: list[str] = Field(description="The members of `limits` that it enforces by itself.")
    options: dict[str, str] = Field(description="The members of `environmentOptions`.")


class EnvironmentView(BaseModel):
    """An environment: a place where tasks can run."""

    name: str
    usable: bool = Field(description="Whether it can be used on this node, now.")
    why: str | None = Field(description="Why it cannot.")
    install: str | None = Field(description="What to install or to do.")
    found: dict[str, Any] = Field(description="What was found: versions and the like.")
    capabilities: EnvironmentCapabilities | None = Field(description="Null when it is broken.")


class IsolationView(BaseModel):
    """An isolation: what can stand around a task."""

    name: str
    description: str | None = Field(description="What it says of itself, in a line.")
    usable: bool = Field(description="Whether it can be used on this node, now.")
    why: str | None = Field(description="Why it cannot.")
    install: str | None = Field(description="What to install or to do.")
    limits: list[str] | None = Field(description="The members of `limits` that it enforces here.")


class EnvironmentsView(BaseModel):
    """Where tasks can run, and in what."""

    environments: list[EnvironmentView]
    isolations: list[IsolationView]


class Success(BaseModel):
    """It was done."""

    success: bool = True


class Problem(BaseModel):
    """A problem document, RFC 9457."""

    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = Field(
        None, description="For a bad request: `field`, `detail` and, in a text, `line`, `column`."
    )
