"""Which commands there are. They are imported when they are used: `--help` is to be quick."""

from typing import NamedTuple


class Known(NamedTuple):
    """A command: the module it is in, as a function of the same name, and what it does."""

    module: str
    help: str


COMMANDS = {
    "run": Known("run", "Run a command and follow its output."),
    "submit": Known("submit", "Submit a task from a JSON file."),
    "ps": Known("ps", "List tasks: those under way and the newest."),
    "inspect": Known("inspect", "Show everything that is known of tasks."),
    "logs": Known("logs", "Show what tasks have written, or follow it."),
    "files": Known("files", "List or fetch what a task has left."),
    "wait": Known("wait", "Wait until tasks are over."),
    "stop": Known("stop", "Ask tasks to stop."),
    "rm": Known("rm", "Remove tasks that are over, with their files."),
    "prune": Known("prune", "Remove all tasks that are over."),
    "rerun": Known("rerun", "Run a task once more, with changes if wanted."),
    "events": Known("events", "Show the changes of state of all tasks."),
    "machines": Known("machines", "List what can be run."),
    "environments": Known("environments", "List where tasks can run."),
    "isolations": Known("isolations", "List what can stand around tasks."),
    "serve": Known("serve", "Start a node."),
    "doctor": Known("doctor", "Find out what is wrong, and what mends it."),
    "config": Known("config", "Show the settings."),
    "completion": Known("completion", "Print what makes a shell complete commands."),
}
