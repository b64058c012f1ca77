"""The pages of the console, as an application of its own; scripts fill them from the API."""

from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from task_runner import __version__
from task_runner.console.headers import SafeHeaders
from task_runner.lib.state import State

_templates = Environment(
    loader=PackageLoader("task_runner.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals |= {"version": __version__, "states": [state.value for state in State]}


async def tasks(_request: Request) -> Response:
    """Show all tasks, newest first."""
    return _page("tasks.html")


async def task(request: Request) -> Response:
    """Show one task; whether there is one, its script asks the API."""
    return _page("task.html", task_id=request.path_params["task_id"])


async def submit(_request: Request) -> Response:
    """Show the form for a new task."""
    return _page("submit.html")


async def system(_request: Request) -> Response:
    """Show what this node is and has."""
    return _page("system.html")


def _page(name: str, **values: str) -> Response:
    return HTMLResponse(_templates.get_template(name).render(page=name, **values))


def create_console() -> Starlette:
    """Make the application that is mounted at `/console`."""
    static = StaticFiles(directory=str(resources.files("task_runner.console") / "static"))
    routes = [
        Route("/", tasks),
        Route("/tasks/{task_id}", task),
        Route("/submit", submit),
        Route("/system", system),
        Mount("/static", static),
    ]
    return Starlette(routes=routes, middleware=[Middleware(SafeHeaders)])
