"""One tree of errors: what can be reported to whoever asked for something."""

import errno

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
"""What the system says when it has no more open files, processes or memory, for now."""


class TaskRunnerError(Exception):
    """The Task Runner could not do what it was asked to."""


class ValidationError(TaskRunnerError, ValueError):
    """The task was refused: something in what was submitted is wrong.

    `field` names the member of the submitted object (`parameters`, `timeout`, ...). `line` and
    `column` count from 1 and say where in the text of the field, when it is a text.
    """

    def __init__(
        self, detail: str, field: str = "", line: int | None = None, column: int | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.line = line
        self.column = column

    def __str__(self) -> str:
        where = self.field
        if self.line is not None:
            where += f", line {self.line}"
        if self.column is not None:
            where += f", column {self.column}"
        return f"{where}: {self.detail}" if where else self.detail


class TaskNotFoundError(TaskRunnerError, LookupError):
    """There is no task with this identifier."""


class NoSuchFileError(TaskRunnerError, LookupError):
    """The task has left no file of this name that could be given."""


class TaskExistsError(TaskRunnerError):
    """The identifier belongs to another task already."""


class TaskActiveError(TaskRunnerError):
    """The task is not over yet; stop it first."""


class TaskDamagedError(TaskRunnerError):
    """What was stored of the task was damaged from outside."""


class StartError(TaskRunnerError):
    """The task could not be started."""


class StartLaterError(StartError):
    """It cannot be started now, for want of open files, processes, memory or disk; later it may."""


class StopError(TaskRunnerError):
    """The stop could not be noted, and might be forgotten; ask again."""


class DiskFullError(TaskRunnerError):
    """The disk of the work directory is too full to take another task."""


class UnreachableError(TaskRunnerError):
    """What runs the task elsewhere, or has something of it, does not answer; it is asked again."""


class WorkDirError(TaskRunnerError):
    """The work directory cannot be used."""


class CursorGoneError(TaskRunnerError):
    """What follows this cursor is not kept any more; begin anew without one."""
