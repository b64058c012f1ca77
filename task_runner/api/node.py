"""The node itself: what peers of the mesh, probes and Prometheus ask for."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from task_runner.api.dependencies import Service
from task_runner.api.models import Problem, Success, SystemView
from task_runner.api.problems import problem
from task_runner.lib.state import State

API_VERSION = "1.0.0"
MIN_API_VERSION = "1.0.0"

Verbose = Annotated[str | None, Query(description="With it: what was set aside, and why.")]

router = APIRouter(tags=["node"])


@router.get("/", response_class=JSONResponse)
async def apis(request: Request) -> Response:
    """Tell which interfaces this node has; a browser is sent to the console."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/console/", headers={"Vary": "Accept"})
    api = {"root": "/v1", "version": API_VERSION, "min_version": MIN_API_VERSION}
    return JSONResponse({"name": "task_runner", "apis": [api]}, headers={"Vary": "Accept"})


@router.get("/v1/", response_model=Success)
async def root() -> dict[str, bool]:
    """Tell that the interface is there."""
    return {"success": True}


@router.get("/v1/schema")
async def schema(request: Request) -> dict[str, Any]:
    """Tell the paths of the interface, below `/v1`, with what each can do."""
    paths = request.app.openapi()["paths"]
    inside = {path.removeprefix("/v1"): verbs for path, verbs in paths.items() if path[:3] == "/v1"}
    return {
        path: {verb: _summary(what) for verb, what in verbs.items()}
        for path, verbs in inside.items()
    }


def _summary(operation: dict[str, Any]) -> str:
    return str(operation.get("description", operation["summary"])).partition("\n")[0]


@router.get("/v1/system", response_model=SystemView)
async def system(service: Service) -> JSONResponse:
    """Tell what this node is made of, how much it can take and how full it is."""
    return JSONResponse(await service.system())


@router.head("/livez", include_in_schema=False)
@router.get("/livez", response_class=PlainTextResponse)
async def livez() -> str:
    """Tell that this worker answers."""
    return "ok\n"


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    response_class=PlainTextResponse,
    responses={
        200: {"content": {"application/json": {}}},
        503: {"model": Problem, "description": "The server is stopping."},
    },
)
async def readyz(service: Service, verbose: Verbose = None) -> Response:
    """Tell that tasks can be accepted: the index answers, and the server is not about to stop.

    With `verbose`, an object: `ready`, and in `setAside` what is in the work directory and cannot
    be used, each with `path` and `reason`.
    """
    await service.index.data_version()
    if service.closing.is_set():
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the server is stopping")
    if verbose is None:
        return PlainTextResponse("ok\n")
    return JSONResponse({"ready": True, "setAside": await service.set_aside()})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(service: Service) -> Response:
    """Tell how many tasks there are in each state, and what this worker uses."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    tasks = Gauge("task_runner_tasks", "Tasks by state.", ["state"], registry=registry)
    counts = await service.index.count_states()
    for state in State:
        tasks.labels(state).set(counts.get(state, 0))
    _, _, last = await service.index.events_range()
    changes = Gauge("task_runner_last_event", "Number of the newest event.", registry=registry)
    changes.set(last)
    aside = Gauge("task_runner_set_aside", "What cannot be used on the disk.", registry=registry)
    aside.set(len(await service.set_aside()))
    free = Gauge("task_runner_free_bytes", "Of the work directory's disk.", registry=registry)
    free.set(await service.submission.capacity.free_bytes())
    refused = "Submissions refused by this worker, by what was short."
    _count(registry, "task_runner_refused", refused, "reason", service.submission.capacity.refused)
    removed = "Tasks removed by the retention of this worker, by the limit they were beyond."
    _count(registry, "task_runner_removed", removed, "reason", service.retention.removed)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Fixed(Collector):
    """A collector of what is known already."""

    def __init__(self, family: CounterMetricFamily) -> None:
        self._family = family

    def collect(self) -> list[CounterMetricFamily]:
        return [self._family]


def _count(
    registry: CollectorRegistry, name: str, text: str, label: str, counts: Mapping[str, int]
) -> None:
    """Add a counter with the values that it has now."""
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    registry.register(_Fixed(family))


@router.get("/v1", include_in_schema=False)
async def root_without_slash() -> JSONResponse:
    """Answer like `/v1/`: nobody should have to know about the slash."""
    return JSONResponse({"success": True})
