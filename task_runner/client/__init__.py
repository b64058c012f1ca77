"""The Python client of the Task Runner: `Client`, and `AsyncClient` with the same verbs."""

from task_runner.client.artifacts import File
from task_runner.client.async_client import AsyncClient
from task_runner.client.client import Client
from task_runner.client.errors import (
    ClientError,
    ConflictError,
    CursorGoneError,
    InvalidRequestError,
    NodeNotTrustedError,
    NodeSilentError,
    NodeUnreachableError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    UnavailableError,
    WaitTimeoutError,
)
from task_runner.client.models import Event, LogEntry, Task

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "ConflictError",
    "CursorGoneError",
    "Event",
    "File",
    "InvalidRequestError",
    "LogEntry",
    "NodeNotTrustedError",
    "NodeSilentError",
    "NodeUnreachableError",
    "NotFoundError",
    "ProtocolError",
    "RefusedError",
    "Task",
    "UnavailableError",
    "WaitTimeoutError",
]
