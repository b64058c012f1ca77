"""Tasks on a machine that is reached by a command, such as `ssh host`, and shares the directory.

Its configuration: {"shell": {"reach": ["ssh", "host"], "python": "python3"}}
"""

import secrets
import subprocess
from collections.abc import Mapping, Sequence
from shlex import quote

from task_runner.environments.base import PACKAGE_PARENT, Place, RemoteEnvironment, Sighting
from task_runner.environments.base import Usability as Usable
from task_runner.lib.errors import UnreachableError
from task_runner.lib.handle import claim, owner
from task_runner.lib.task_dir import TaskDir, read_json

START = "PYTHONPATH={} setsid {} -S -m task_runner.lib.own {} {} </dev/null >/dev/null 2>&1 &"


class ShellEnvironment(RemoteEnvironment):
    """Starts each TaskRunner in the background; the name of its job is in its arguments."""

    def usability(self) -> Usable:
        """See RemoteEnvironment."""
        try:
            self._run("true")
        except UnreachableError as problem:
            return Usable(False, str(problem), "let this user log in without a password")
        return Usable(usable=True)

    def launch(self, directory: TaskDir) -> bool:
        """See RemoteEnvironment."""
        job = claim(directory, f"job-{secrets.token_hex(8)}")
        if job is not None and job not in self._run("ps -eo args").split():
            python = str(self.config.get("python", "python3"))
            self._run(START.format(*map(quote, (PACKAGE_PARENT, python, directory.path, job))))
        return job is not None

    def look(self, directories: Sequence[TaskDir]) -> Mapping[str, Sighting]:
        """See RemoteEnvironment."""
        words = self._run("ps -eo args").split()
        jobs = {directory.task_id: owner(directory) for directory in directories}
        place = {True: Place.RUNNING, False: Place.ENDED}
        return {i: Sighting(place[job in words], f"{job}", {"job": job}) for i, job in jobs.items()}

    def cancel(self, directory: TaskDir, job: str) -> None:
        """See RemoteEnvironment."""
        pid = (read_json(directory.status) or {}).get("process_id")
        if pid is not None:
            self._run(f"ps -o args= -p {pid} | grep -q {quote(job)} && kill {pid}; true")

    def _run(self, script: str) -> str:
        argv = [*self.config.get("reach", ["sh", "-c"]), script]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        if ran.returncode != 0:
            raise UnreachableError(f"{argv[0]}: {ran.stderr.strip()}")
        return ran.stdout
