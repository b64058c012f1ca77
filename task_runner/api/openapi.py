"""The description of the API, where FastAPI's own does not fit."""

from typing import Any

from fastapi import FastAPI

from task_runner.api.models import Problem

BAD_REQUEST: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Something in the request is wrong."}
}


def install(app: FastAPI) -> None:
    """Describe what is answered: a bad request is 400 here, and never FastAPI's 422."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            for path in schema["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                schema["components"]["schemas"].pop(name, None)
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]
