"""All output of a task: one stream, or two when the task has its standard error apart."""

import select
import time
from collections.abc import Callable, Container

from task_runner.lib.clock import since_boot
from task_runner.lib.output import MirrorBusyError, Output

RETRY_INTERVAL = 1.0
"""Seconds until a file that could not be written (a full disk) is tried again."""
MIRROR_INTERVAL = 0.05
"""Seconds until output is shown again to somebody who was slow to read."""

FOREVER = float("inf")


class Streams:
    """Moves the output whenever there is some, however long a full disk makes it wait."""

    def __init__(self, output: Output, stderr: Output | None, note: Callable[[str], None]) -> None:
        """Take over the streams; `note` is told what goes wrong."""
        self._named = {"output": output} if stderr is None else {"output": output, "stderr": stderr}
        self._outputs = tuple(self._named.values())
        self._note = note
        self._quiet_until: dict[Output, float] = {}

    def watch(self, poll: select.poll) -> None:
        """Let a poll tell when there is output."""
        self._poll = poll
        for output in self._outputs:
            poll.register(output.fd, select.POLLIN)

    def pump(self, ready: Container[int]) -> None:
        """Move what there is, of the streams that are ready and those that were given a rest."""
        for output in self._outputs:
            quiet_until = self._quiet_until.get(output)
            if quiet_until is not None:
                if since_boot() < quiet_until:
                    continue
                del self._quiet_until[output]
                self._poll.register(output.fd, select.POLLIN)
            elif output.fd not in ready:
                continue
            if pause := self._pump(output):
                self._quiet_until[output] = since_boot() + pause
                self._poll.unregister(output.fd)

    def _pump(self, output: Output) -> float:
        """Move output; return the seconds for which there is no use in trying again."""
        try:
            output.pump()
        except MirrorBusyError:
            return MIRROR_INTERVAL
        except OSError as problem:
            self._note(f"the output waits, {output.files.log} cannot be written: {problem}")
            return RETRY_INTERVAL
        return 0.0

    def due(self) -> float:
        """Return when to pump although nobody is ready."""
        return min(self._quiet_until.values(), default=FOREVER)

    def drain(self, *, hurried: Callable[[], bool]) -> None:
        """Move all that is left once the machine is over, however long that takes.

        `hurried` says that nobody is going to look at the mirror any more.
        """
        for output in self._outputs:
            while pause := self._complete(output, hurried):
                time.sleep(pause)

    def _complete(self, output: Output, hurried: Callable[[], bool]) -> float:
        try:
            while output.pump():
                pass
            output.complete()
        except MirrorBusyError:
            if hurried():  # the log has it all
                output.close_mirror()
            return MIRROR_INTERVAL
        except OSError as problem:
            self._note(f"the last of {output.files.log} cannot be written yet: {problem}")
            return RETRY_INTERVAL
        return 0.0

    def sizes(self) -> dict[str, int]:
        """Return what the status file says of the logs: bytes that are in them, and are not."""
        sizes = {f"{name}_size": one.size for name, one in self._named.items()}
        return sizes | {f"{name}_dropped": one.dropped for name, one in self._named.items()}

    def dropped(self) -> dict[str, int]:
        """Return how many bytes are not kept so far, of the streams beyond their limit."""
        return {f"{name}_dropped": one.dropped for name, one in self._named.items() if one.dropped}
