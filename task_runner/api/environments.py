"""Where tasks can run, and what can stand around them."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from task_runner.api.dependencies import Service
from task_runner.api.models import EnvironmentsView

router = APIRouter(prefix="/v1/environments", tags=["environments"])


@router.get("", response_model=EnvironmentsView)
async def environments(service: Service) -> Response:
    """List every environment and isolation, ours and installed ones, and whether they can be used.

    When one cannot, `why` says so, and `install` what helps. What is found out is remembered for
    some seconds.
    """
    environments, isolations = await service.environments(), await service.isolations()
    return JSONResponse({"environments": environments, "isolations": isolations})
