"""What routes get from the application."""

from typing import Annotated

from fastapi import Depends, Request

from task_runner.service.service import TaskService


async def the_service(request: Request) -> TaskService:
    """Return the service of this worker. Async, as FastAPI calls anything else in a thread."""
    service: TaskService = request.app.state.service
    return service


Service = Annotated[TaskService, Depends(the_service)]
