"""`task-runner serve`: start a node."""

import os
import sys

import click

APP = "task_runner.api.star_app:create_app"
WORKER = "uvicorn.workers.UvicornWorker"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("-p", "--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--socket", type=click.Path(), help="Listen on this Unix socket instead.")
@click.option("--work-dir", type=click.Path(file_okay=False), help="Where the tasks live.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@click.argument("options", nargs=-1, metavar="[-- GUNICORN_OPTION...]")
def serve(
    *,
    host: str,
    port: int,
    socket: str | None,
    work_dir: str | None,
    workers: int,
    options: tuple[str, ...],
) -> None:
    """Start a node: gunicorn with uvicorn's worker, in the place of this process.

    What follows `--` are options of gunicorn, such as --certfile.
    """
    if work_dir is not None:
        os.environ["TASK_RUNNER_WORK_DIR"] = os.path.abspath(work_dir)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    bind = f"unix:{os.path.abspath(socket)}" if socket else address
    argv = [sys.executable, "-m", "gunicorn", "--worker-class", WORKER, "--bind", bind]
    argv += ["--workers", str(workers), *options, APP]
    os.execv(sys.executable, argv)
