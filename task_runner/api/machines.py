"""What there is to run, for forms and for people."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from task_runner.api.dependencies import Service
from task_runner.api.models import MachineView

router = APIRouter(prefix="/v1/machines", tags=["machines"])


@router.get("", response_model=list[MachineView])
async def machines(service: Service) -> Response:
    """List every machine, ours and installed ones, with a JSON Schema (2020-12) of `parameters`.

    A machine that cannot be loaded is listed with its `error`. What the schema accepts may still
    be refused: `POST /v1/tasks?check=true` checks everything.
    """
    return JSONResponse(await service.machines())
