"""The echo machine: prints, waits and ends as a small script says. Meant for trying things out."""

import logging
import time

from task_runner.lib.task import Json, Task
from task_runner.machines import echo_script as script

LINE = r"^[^\r\n]*$"

log = logging.getLogger("echo")


class EchoMachine:
    """Print, wait and end as a small script says, to try things out."""

    def validate(self, task: Task) -> None:
        """Check the script. Raises ValidationError with its line and column."""
        script.parse(task.parameters)

    def schema(self) -> Json:
        """Return the JSON Schema of `parameters`."""
        return {
            "title": "Script",
            "description": "Statements such as ECHO, SLEEP and LOG, one a line.",
            "oneOf": [
                {"type": "array", "title": "Lines", "items": {"type": "string", "pattern": LINE}},
                {"type": "string", "title": "Text", "contentMediaType": "text/plain"},
            ],
            "examples": [["ECHO hello", "SLEEP 1", "LOG INFO done"]],
        }

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
