"""The command machine: executes a program, or a script, with nothing of Python in between."""

import os

from task_runner.lib.errors import ValidationError
from task_runner.lib.machine import Command
from task_runner.lib.task import (
    ENV_NAME,
    Json,
    Task,
    check_argument,
    check_env,
    check_text,
    no_such_field,
)

KEYS = ("argv", "script", "env", "stdin")
SHELL = "/bin/bash"


class CommandMachine:
    """Execute a program with its arguments, or a script."""

    def validate(self, task: Task) -> None:
        """Check `parameters`. Raises ValidationError with the field, such as parameters.argv."""
        parameters = task.parameters
        if not isinstance(parameters, dict):
            raise ValidationError("it must be an object", "parameters")
        for key in parameters:
            if key not in KEYS:
                raise no_such_field(key, "parameters.")
        if ("argv" in parameters) == ("script" in parameters):
            raise ValidationError("it needs either argv or script", "parameters")
        if "argv" in parameters:
            _check_argv(parameters["argv"])
        else:
            _check_script(parameters["script"])
        check_env(parameters.get("env", {}), "parameters.env")
        check_text(parameters.get("stdin", ""), "parameters.stdin")

    def schema(self) -> Json:
        """Return the JSON Schema of `parameters`."""
        return {
            "type": "object",
            "properties": {
                "argv": {
                    "type": "array",
                    "title": "Program and arguments",
                    "description": "The program is found on PATH; no shell splits anything.",
                    "items": {"type": "string"},
                    "minItems": 1,
                    "examples": [["uname", "-a"]],
                },
                "script": {
                    "type": "string",
                    "title": "Script",
                    "description": "Executed by what its first line names, else by /bin/bash.",
                    "contentMediaType": "text/x-shellscript",
                    "minLength": 1,
                    "examples": ["set -e\ndate\n"],
                },
                "env": {
                    "type": "object",
                    "title": "Environment variables",
                    "description": "Added to those of the task. Their values are never shown.",
                    "propertyNames": {"pattern": f"^{ENV_NAME}$"},
                    "additionalProperties": {"type": "string"},
                },
                "stdin": {
                    "type": "string",
                    "title": "Standard input",
                    "description": "What the program reads; nothing by default.",
                    "contentMediaType": "text/plain",
                },
            },
            "additionalProperties": False,
            "oneOf": [{"required": ["argv"]}, {"required": ["script"]}],
        }

    def command(self, task: Task, directory: str) -> Command:
        """Return the program to execute; a script is written to `directory` first.

        Raises OSError when it cannot be written.
        """
        parameters = task.parameters
        files: tuple[str, ...] = ()
        if "argv" in parameters:
            argv = tuple(parameters["argv"])
        else:
            files = (os.path.join(directory, "script"),)
            argv = _write_script(parameters["script"], *files)
        stdin = parameters.get("stdin", "").encode()
        return Command(argv, parameters.get("env", {}), stdin, files)


def _check_argv(argv: Json) -> None:
    field = "parameters.argv"
    if not isinstance(argv, list) or not argv:
        raise ValidationError("it must be a list of at least one string", field)
    for argument in argv:
        check_argument(argument, field)
    if not argv[0]:
        raise ValidationError("the name of the program is empty", field)


def _check_script(script: Json) -> None:
    field = "parameters.script"
    check_text(script, field)
    if not script:
        raise ValidationError("it is empty", field)
    if "\0" in script:
        raise ValidationError("it holds a NUL character", field)


def _write_script(script: str, path: str) -> tuple[str, ...]:
    # The file may remain from a start that was cut off: then it is replaced, mode included.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o700), "wb") as file:
        os.fchmod(file.fileno(), 0o700)
        file.write(script.encode())
    return (path,) if script.startswith("#!") else (SHELL, path)
