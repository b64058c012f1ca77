"""Tasks as jobs of Slurm: sbatch starts TaskRunner on a node, over a shared file system."""

import logging
import os
import pwd
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from task_runner.environments.base import (
    PACKAGE_PARENT,
    Capabilities,
    Place,
    RemoteEnvironment,
    Sighting,
    Usability,
)
from task_runner.environments.slurm import answers, commands, options
from task_runner.environments.slurm.answers import Job
from task_runner.environments.slurm.tools import Tools
from task_runner.environments.work_dir import WorkDir
from task_runner.lib.clock import timestamp
from task_runner.lib.errors import StartError, UnreachableError, ValidationError
from task_runner.lib.handle import claim, owner
from task_runner.lib.task import Task
from task_runner.lib.task_dir import TaskDir, create_exclusive, read_json

TOOLS = ("sbatch", "squeue", "scancel")
INSTALL = "install Slurm's client programs and the cluster's slurm.conf and munge key; on Debian: "
INSTALL += "apt-get install slurm-client munge"
START = "have slurmctld and munged started, and see that SLURM_CONF names slurm.conf"
SCRIPT = os.path.abspath(f"{__file__}/../job.sh")
BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from task_runner.lib.own import main; "
BOOT += "main(*sys.argv[1:])"

log = logging.getLogger(__name__)


class Config(BaseModel):
    """The members of `slurm` in the setting `environments`."""

    model_config = ConfigDict(extra="forbid")

    python: str = sys.executable
    """The interpreter on the nodes, of the same version as here."""
    package: str = PACKAGE_PARENT
    """The directory on the nodes that has `task_runner` in it."""
    sbatch_options: list[str] = []
    """Long names of further options of sbatch that tasks may use."""
    defaults: dict[str, Any] = {}
    """Options that tasks get which do not have their own."""
    patience: float = Field(30.0, gt=0)
    """Seconds that are waited for an answer of a tool of Slurm."""
    pause: tuple[float, float] = RemoteEnvironment.pause
    settle: float = Field(RemoteEnvironment.settle, ge=0)


class SlurmEnvironment(RemoteEnvironment):
    """One job for each task; the number of the job is in `handle.json`."""

    capabilities = Capabilities(
        elsewhere=True, limits=("memory", "openFiles"), options=options.MEANINGS
    )

    def __init__(self, work_dir: WorkDir, config: Mapping[str, Any]) -> None:
        """See RemoteEnvironment."""
        super().__init__(work_dir, config)
        self._config = Config.model_validate(config)
        self.pause = self._config.pause
        self.settle = self._config.settle
        self._tools = Tools(self._config.patience)
        self._user = pwd.getpwuid(os.getuid()).pw_name

    @staticmethod
    def validate(task: Task) -> None:
        """See Environment."""
        options.validate(task)

    def admit(self, task: Task) -> None:
        """See Environment: the tools are there, and further options are in the settings."""
        usability = self._tools_are_there()
        if not usability.usable:
            raise ValidationError(f"{usability.why}; {usability.install}", "environment")
        for name in task.environment_options.get(options.FURTHER, {}):
            if name not in self._config.sbatch_options:
                field = f"environmentOptions.{options.FURTHER}.{name}"
                raise ValidationError("the settings of this node do not allow it", field)

    def _tools_are_there(self) -> Usability:
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            return Usability(False, f"there is no {', '.join(missing)} on the PATH", INSTALL)
        return Usability(usable=True)

    def usability(self) -> Usability:
        """See Environment: the tools are there, and the controller answers."""
        usability = self._tools_are_there()
        if not usability.usable:
            return usability
        texts = []
        for argv in (commands.VERSION, commands.PARTITIONS, commands.CONFIGURATION):
            try:
                answer = self._tools.run(argv)
            except UnreachableError as problem:
                return Usability(False, str(problem), START)
            if not answer.done:
                return Usability(False, answer.complaint, "see that SLURM_CONF names slurm.conf")
            texts.append(answer.text)
        version, partitions, configuration = texts
        found = {name: answers.setting(configuration, name) for name in ("ClusterName", "KillWait")}
        listed = {"version": version.strip(), "partitions": partitions.split()}
        return Usability(True, found={**listed, **found})

    def launch(self, directory: TaskDir) -> bool:
        """See RemoteEnvironment. Looks for the job first when sbatch may have been run before."""
        if os.path.exists(directory.handle):
            return owner(directory) is not None
        name = commands.new_name(directory.task_id)
        job = None
        note, draft = {"name": name, "at": timestamp()}, self.work_dir.aside(directory)
        if not create_exclusive(_note(directory), note, draft):
            name = _name_of(directory)
            job = self._find(name)
        job = job or self._submit(directory, name)
        owned_by = claim(directory, job, self.work_dir.aside(directory))
        if owned_by != job:  # a stop, or an earlier job, was faster; this one is not let in
            self.cancel(directory, job)
        return owned_by is not None

    def _find(self, name: str) -> str | None:
        answer = self._tools.run(commands.find(name, self._user))
        if not answer.done:
            raise UnreachableError(f"squeue: {answer.complaint}")
        return next(iter(answers.queue(answer.text)), None)

    def _submit(self, directory: TaskDir, name: str) -> str:
        stored = read_json(directory.task)
        if stored is None:
            raise FileNotFoundError(directory.task)
        own = stored["environmentOptions"]
        asked = options.asked_by(stored["limits"], own.get(options.FURTHER, {}))
        wanted = {**self._config.defaults, **asked, **own}
        limit = wanted.get("time_limit")
        start = [
            "" if limit is None else str(int(limit)),
            *(self._config.python, "-S", "-c", BOOT, self._config.package, directory.path),
        ]
        argv = commands.submit(directory, name, options.arguments(wanted), SCRIPT, start)
        answer = self._tools.run(argv)
        job = answers.submitted(answer.text)
        if not answer.done:
            raise StartError(f"Slurm refuses {directory.task_id}: {answer.complaint}")
        if job is None:
            raise UnreachableError(f"sbatch printed no number of a job: {answer.text!r:.200}")
        return job

    def look(self, directories: Sequence[TaskDir]) -> Mapping[str, Sighting]:
        """See RemoteEnvironment: one squeue, and sacct for what is not in the queue any more."""
        answer = self._tools.run(commands.queue(self._user))
        if not answer.done:
            raise UnreachableError(f"squeue: {answer.complaint}")
        queue = answers.queue(answer.text)
        jobs = _jobs_of(directories)
        purged = [job for job, name in jobs.values() if job not in queue]
        known = {**(self._account(purged) if purged else {}), **queue}
        return {
            task_id: _sighting(job, found if found and found.name == name else None)
            for task_id, (job, name) in jobs.items()
            for found in (known.get(job),)
        }

    def _account(self, jobs: list[str]) -> dict[str, Job]:
        """Ask the accounting, which a site need not have."""
        try:
            answer = self._tools.run(commands.account(jobs))
        except UnreachableError as problem:
            log.info("%s", problem)
            return {}
        return answers.accounted(answer.text) if answer.done else {}

    def cancel(self, directory: TaskDir, job: str) -> None:
        """See RemoteEnvironment. What was asked of a job that is over is refused, and in order."""
        name = _name_of(directory)
        for command in (commands.unqueue, commands.terminate):
            answer = self._tools.run(command(job, name))
            if not answer.done:
                log.info("%s: %s", directory.task_id, answer.complaint)


def _note(directory: TaskDir) -> str:
    return f"{directory.path}/submitted.json"


def _name_of(directory: TaskDir) -> str:
    """Return the name that a task's job has. Raises ValueError."""
    note = read_json(_note(directory))
    if note is None or "name" not in note:
        raise ValueError(f"{_note(directory)} is missing or damaged")
    return str(note["name"])


def _jobs_of(directories: Sequence[TaskDir]) -> dict[str, tuple[str, str]]:
    """Return number and name of the tasks' jobs."""
    jobs = {}
    for directory in directories:
        try:
            job, name = owner(directory), _name_of(directory)
        except ValueError as problem:
            log.error("%s", problem)
            continue
        if job is not None:
            jobs[directory.task_id] = job, name
    return jobs


def _sighting(number: str, job: Job | None) -> Sighting:
    if job is None:
        says = f"Slurm does not know its job {number} any more"
        return Sighting(Place.MISSING, says, {"job": number})
    says = f"its Slurm job {number} is {job.state}"
    if job.reason:
        says += f" ({job.reason})"
    details = {"job": number, "state": job.state, "reason": job.reason, "node": job.nodes}
    return Sighting(answers.place_of(job.state), says, details)
