"""The application, for any ASGI server: `task_runner.api.star_app:create_app`."""

import logging.config
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from task_runner import __version__
from task_runner.api import (
    closing,
    environments,
    events,
    files,
    logs,
    machines,
    node,
    openapi,
    problems,
    tasks,
)
from task_runner.api.body_limit import BodyLimit
from task_runner.api.guard import Guard
from task_runner.api.overload import Overload
from task_runner.console.pages import create_console
from task_runner.environments.work_dir import prepare
from task_runner.lib import fault_points
from task_runner.lib.errors import WorkDirError
from task_runner.service.index.database import is_index
from task_runner.service.service import TaskService
from task_runner.service.settings import Settings, load

CANNOT_LOAD = 4
"""The exit code at which gunicorn gives up instead of trying again (its APP_LOAD_ERROR)."""
DESCRIPTION = """Starts and monitors tasks. Each is a durable process with its own directory, a live
log and an exact result; it goes on while this service is restarted, upgraded or killed."""


def create_app() -> FastAPI:
    """Make the application with the settings of this process's environment.

    Exits with a message when the configuration or the work directory cannot be used.
    """
    settings = _settings()
    app = FastAPI(
        title="Task Runner",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    problems.install(app)
    openapi.install(app)
    for module in (node, machines, environments, tasks, logs, files, events):
        app.include_router(module.router, responses=openapi.BAD_REQUEST)
    app.mount("/console", create_console())
    app.add_middleware(Overload)
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(
        Guard,
        allow_remote_clients=settings.allow_remote_clients,
        host_names=settings.host_names,
    )
    return app


def _settings() -> Settings:
    try:
        settings = load()
        if settings.logging is not None:
            logging.config.dictConfig(settings.logging)
        prepare(settings.work_dir)
        _check_index(settings.index_path)
        if settings.fault_points:
            fault_points.switch_on(settings.fault_points)
    except (ValueError, WorkDirError, OSError) as problem:
        print(f"task_runner: {problem}", file=sys.stderr)
        sys.exit(CANNOT_LOAD)
    return settings


def _check_index(path: str | None) -> None:
    """Raise WorkDirError when no index can be kept there; None is the work directory."""
    if path is None:
        return
    directory = os.path.dirname(os.path.abspath(path))
    if not os.access(directory, os.W_OK | os.X_OK):
        raise WorkDirError(f"index_path: the directory {directory} is not there, or not writable")
    if os.path.lexists(path) and not is_index(path):
        raise WorkDirError(f"index_path: {path} is there, and no index; name another file")


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service = TaskService(app.state.settings)
    closing.set_on_signals(service.closing)
    closing.end_with_supervisor()
    await service.start()
    app.state.service = service
    try:
        yield
    finally:
        await service.close()
