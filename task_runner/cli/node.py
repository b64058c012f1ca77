"""Where the node is, a client for it, and which task is meant by a word."""

import json
import os
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from itertools import islice
from typing import Any

import click

from task_runner.cli.failure import Failure
from task_runner.client import (
    AsyncClient,
    Client,
    ClientError,
    ConflictError,
    InvalidRequestError,
    NodeNotTrustedError,
    NodeUnreachableError,
    NotFoundError,
    RefusedError,
)
from task_runner.client.steps import Node
from task_runner.client.target import DEFAULT_URL

LAST = "@last"
MANY = 5
QUICK = 10.0
PATIENCE = 300.0
"""Seconds for which a node is waited for that was there; the latter by what follows something."""


def setting(name: str) -> str | None:
    """Return a setting of the command line: from the environment, else from the settings' file."""
    if value := os.environ.get(f"TASK_RUNNER_{name.upper()}"):
        return value
    path = os.environ.get("TASK_RUNNER_CONF")
    try:
        value = _read(path).get(name) if path else None
    except (OSError, ValueError) as problem:
        raise Failure(f"TASK_RUNNER_CONF: {problem}", "task-runner config show") from problem
    return None if value is None else str(value)


def _read(path: str) -> Mapping[str, Any]:
    with open(path, "rb") as file:
        settings = json.load(file)
    if not isinstance(settings, dict):
        raise ValueError(f"{path} does not hold an object")
    return settings


def url() -> str:
    """Return where the node is."""
    given: str | None = click.get_current_context().find_root().obj
    return given or setting("url") or DEFAULT_URL


def ssl_context() -> ssl.SSLContext | None:
    """Return whom to trust and what to show, when the settings say so."""
    authority, certificate = setting("ca_file"), setting("cert_file")
    if authority is None and certificate is None:
        return None
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate is not None:
            context.load_cert_chain(certificate, setting("key_file"))
    except OSError as problem:  # of reading, and of what was read
        message = f"the certificates cannot be used: {problem}"
        raise Failure(message, "task-runner config show") from problem
    return context


@contextmanager
def connected(patience: float = QUICK) -> Iterator[Client]:
    """Give a client; what it raises ends the command. A node that is not there is told at once."""
    with told(), Client(_usable(url()), patience=0, ssl_context=ssl_context()) as client:
        client.ping()
        client.node = Node(patience)
        yield client


@asynccontextmanager
async def following() -> AsyncIterator[AsyncClient]:
    """Give a client that goes on over restarts of the node; use it within `told`."""
    async with AsyncClient(_usable(url()), patience=0, ssl_context=ssl_context()) as client:
        await client.ping()
        client.node = Node(PATIENCE)
        yield client


def _usable(address: str) -> str:
    if re.match(r"(https?://[^/]|unix:///)", address):
        return address
    raise Failure(
        f"{address!r} is none of http://HOST:PORT, https://HOST:PORT, unix:///PATH",
        "task-runner --url http://127.0.0.1:8000 ps",
    )


@contextmanager
def told() -> Iterator[None]:
    """End the command with a message that helps when the client fails."""
    try:
        yield
    except ClientError as error:
        raise Failure(str(error), _next_command(error)) from error


def _next_command(error: ClientError) -> str:
    match error:
        case NodeUnreachableError():
            return "task-runner serve (here), or set TASK_RUNNER_URL; task-runner doctor shows more"
        case NodeNotTrustedError():
            return "set TASK_RUNNER_CA_FILE to the certificate of its authority"
        case NotFoundError():
            return "task-runner ps -a"
        case ConflictError():
            return "task-runner inspect ID"
        case RefusedError(status=HTTPStatus.INSUFFICIENT_STORAGE):
            return "task-runner prune --older-than 7d"
        case InvalidRequestError():
            return "task-runner machines (what can be run); task-runner run --help"
        case _:
            return "task-runner doctor"


def task_id_of(client: Client, word: str) -> str:
    """Return the identifier that is meant: itself, a beginning that only it has, or `@last`."""
    if word == LAST:
        for task in client.list(newest_first=True, page_size=1):
            return task.task_id
        raise Failure("there is no task yet", "task-runner run -- COMMAND")
    try:
        return client.get(word).task_id
    except NotFoundError:
        found = [
            *islice((task.task_id for task in client.list() if task.task_id.startswith(word)), MANY)
        ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Failure(f"there is no task {word!r}", "task-runner ps -a")
    dots = ", ..." if len(found) == MANY else ""
    raise Failure(f"{word!r} begins several: {', '.join(found)}{dots}", "task-runner ps -a")
