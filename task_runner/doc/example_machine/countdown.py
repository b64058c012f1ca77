"""An example of a machine: counts down from `parameters.from`, one step in a tenth of a second."""

import json
import logging
import os
import time

from task_runner.lib.errors import ValidationError
from task_runner.lib.task import Task

log = logging.getLogger("countdown")


class Countdown:
    """Count down to zero and report the progress."""

    def validate(self, task: Task) -> None:
        """Check that the parameters are {"from": 1 to 1000}. Raises ValidationError."""
        if not isinstance(task.parameters, dict) or set(task.parameters) != {"from"}:
            raise ValidationError('it must be an object like {"from": 10}', "parameters")
        start = task.parameters["from"]
        if type(start) is not int or not 1 <= start <= 1000:
            raise ValidationError("it must be an integer from 1 to 1000", "parameters.from")

    def schema(self) -> dict[str, object]:
        """Return the JSON Schema of the parameters; a form in the web console is made of it."""
        start = {"type": "integer", "minimum": 1, "maximum": 1000, "title": "Count down from"}
        return {
            "type": "object",
            "properties": {"from": start},
            "required": ["from"],
            "additionalProperties": False,
        }

    def run(self, task: Task) -> int:
        """Count; what is printed and logged is the output of the task."""
        start = task.parameters["from"]
        for number in range(start, 0, -1):
            print(number, flush=True)
            time.sleep(0.1)
            report({"progress": (start - number + 1) / start})
        log.info("lift-off")
        return 0

    def cleanup(self, task: Task) -> None:
        """Tidy up; called at the end of success, failure, cancel and time-out alike."""
        log.info("the countdown from %s is over", task.parameters["from"])


def report(status: dict[str, float]) -> None:
    """Write one JSON line to TaskRunner; the file descriptor is named in the environment."""
    descriptor = os.environ.get("TASK_RUNNER_STATUS_FD")
    if descriptor:
        os.write(int(descriptor), json.dumps(status).encode() + b"\n")
