"""The description of the API, where FastAPI's own does not fit."""

from typing import Any

from fastapi import FastAPI

from task_runner.api.models import Problem
from task_runner.api.problems import MEDIA_TYPE

BAD_REQUEST: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Something in the request is wrong."}
}


def install(app: FastAPI) -> None:
    """Describe what is answered: a bad request is 400, never FastAPI's 422; errors are problems."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            for path in schema["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
                    _describe_problems(operation["responses"])
            for name in ("HTTPValidationError", "ValidationError"):
                schema["components"]["schemas"].pop(name, None)
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]


def _describe_problems(responses: dict[str, Any]) -> None:
    """Name the media type of problems, in place of that of the route's other answers."""
    for response in responses.values():
        content = response.get("content", {})
        for kind, body in list(content.items()):
            if body.get("schema", {}).get("$ref", "").endswith(f"/{Problem.__name__}"):
                content[MEDIA_TYPE] = content.pop(kind)
