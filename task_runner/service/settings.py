"""The configuration of a node: a JSON file, and variables of the environment above it."""

import os
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    JsonConfigSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from task_runner.lib.registry import ENVIRONMENT_ENTRY_POINTS, ENVIRONMENTS, names_of
from task_runner.lib.task import MAX_BYTES
from task_runner.service.defaults import Defaulted

DEFAULT_WORK_DIR = "/var/lib/tessia-mesh/task_runner"
CONF = "TASK_RUNNER_CONF"


AbsolutePath = Annotated[str, Field(pattern="^/")]


class _File(JsonConfigSettingsSource):
    """The JSON file; what is wrong with it is told with its name."""

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        try:
            value: object = super()._read_file(file_path)
        except ValueError as problem:
            raise ValueError(f"{CONF} names {file_path}, which is not JSON: {problem}") from problem
        if not isinstance(value, dict):
            raise ValueError(f"{CONF} names {file_path}, which does not hold an object")
        return value


class Settings(BaseSettings):
    """Every setting; `max_running` in the file is `TASK_RUNNER_MAX_RUNNING` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="TASK_RUNNER_", extra="forbid", hide_input_in_errors=True
    )

    work_dir: Annotated[str, Field(min_length=1)] = DEFAULT_WORK_DIR
    """Where the tasks live."""
    index_path: str | None = None
    """Where the index lives; needed when the work directory is on a network file system."""
    environment: str = "multiprocess"
    """Where tasks run that do not say it."""
    environments: dict[str, dict[str, Any]] = {}
    """The configuration of each environment, by its name; see doc/environments.md."""
    max_running: Annotated[int, Field(ge=1)] | None = None
    """How many tasks may run at a time; the others wait, by priority, then age."""
    max_output: Annotated[int, Field(ge=0, le=MAX_BYTES)] | None = None
    """Bytes that a log keeps of the beginning: what a task gets by default, and at most."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 256 << 20
    """Free space of the disk below which no task is taken; at most a tenth of the disk."""
    allowed_read_only: list[AbsolutePath] = []
    """Where a sandbox or container may be given read access, each with everything below it."""
    allowed_writable: list[AbsolutePath] = []
    """Where it may be given write access."""
    task_defaults: dict[Defaulted, Any] = {}
    """What a task gets when it says nothing of it: `isolation`, `limits` and options."""
    retain_seconds: Annotated[float, Field(ge=0)] | None = None
    """Seconds after its end at which a task is removed."""
    retain_count: Annotated[int, Field(ge=0)] | None = None
    """How many tasks that are over are kept."""
    retain_bytes: Annotated[int, Field(ge=0)] | None = None
    """How much of the disk tasks that are over may take."""
    container_command: list[str] = []
    """What runs containers, with options; empty: podman, else docker, whichever is installed."""
    allow_remote_clients: bool = False
    """Serve clients of other hosts. Only where something else says who may connect."""
    host_names: list[str] = []
    """Names in the `Host` header that are accepted besides those of the loopback."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    """The largest request that is read."""
    fault_points: str | None = None
    """For tests: a directory of planned faults, see `lib/fault_points.py`. Off, as it should be."""
    logging: dict[str, Any] | None = None
    """A dictConfig for Python's logging; belongs to the mesh."""
    request_authorization: Any = None
    """Belongs to the mesh; accepted, not used yet."""
    url: str = "http://127.0.0.1:8000"
    """Where the command line finds the node; of no use to a node, like the next three."""
    ca_file: str | None = None
    """Whose certificates the command line trusts."""
    cert_file: str | None = None
    """The certificate of the command line."""
    key_file: str | None = None
    """Its key, unless that is in the same file."""
    conf: str | None = None
    """The JSON file itself."""

    @field_validator("environment")
    @classmethod
    def _is_known(cls, name: str) -> str:
        known = sorted(names_of(ENVIRONMENTS, ENVIRONMENT_ENTRY_POINTS))
        if name not in known:
            raise ValueError(f"there is no {name!r}; there are: {', '.join(known)}")
        return name

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  - there is no such file
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, file.

        Raises FileNotFoundError, and ValueError when the file does not hold an object.
        """
        path = os.environ.get(CONF)
        if path and not os.path.isfile(path):
            raise FileNotFoundError(f"{CONF} names {path}, which is not a file")
        return init_settings, env_settings, _File(settings_cls, json_file=path)


def load() -> Settings:
    """Return the settings. Raises OSError, and ValueError that says in one line what is wrong."""
    try:
        return Settings()
    except ValidationError as problem:
        told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problem.errors()]
        raise ValueError("; ".join(told)) from problem
    except SettingsError as problem:
        raise ValueError(f"{problem}: it must be JSON: {problem.__cause__}") from problem
