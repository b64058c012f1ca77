"""The echo machine: prints, waits and ends as a small script says. Meant for trying things out."""

import logging
import time

from task_runner.lib.task import Task
from task_runner.machines import echo_script as script

log = logging.getLogger("echo")


class EchoMachine:
    """Run the script in `parameters`: a list of lines, or one text with line breaks."""

    def validate(self, task: Task) -> None:
        """Check the script. Raises ValidationError with its line and column."""
        script.parse(task.parameters)

    def run(self, task: Task) -> int:
        """Run the statements before CLEANUP. Raises RuntimeError where the script says RAISE."""
        return _execute(script.parse(task.parameters).main)

    def cleanup(self, task: Task) -> None:
        """Run the statements after CLEANUP. Raises RuntimeError where the script says RAISE."""
        _execute(script.parse(task.parameters).cleanup)

    def resources(self, task: Task) -> dict[str, list[str]]:
        """Return the names in USE under "shared" and "exclusive"; without USE an empty object."""
        uses = [part for part in script.parse(task.parameters).main if isinstance(part, script.Use)]
        if not uses:
            return {}
        return {
            "shared": [name for use in uses if not use.exclusive for name in use.names],
            "exclusive": [name for use in uses if use.exclusive for name in use.names],
        }


def _execute(statements: tuple[script.Statement, ...]) -> int:
    for statement in statements:
        match statement:
            case script.Echo(text):
                print(text, flush=True)
            case script.Sleep(seconds):
                time.sleep(seconds)
            case script.Log(level, text):
                log.log(level, "%s", text)
            case script.Return(code):
                return code
            case script.Raise(text):
                raise RuntimeError(text or "RAISE")
            case script.Use():
                pass  # checked when the task is accepted; no resource is reserved yet
    return 0
