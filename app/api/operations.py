"""What runs beside the API itself: is it alive, is it ready, its metrics, its reference page."""

import asyncio
from functools import lru_cache
from importlib.resources import files
from typing import Final, Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from app import log
from app.api import problems
from app.api.answers import answer
from app.api.common import Output
from app.api.endpoint import Running
from app.services import health

router = APIRouter(tags=["operations"])

READY_SECONDS_MAX: Final = 2.0
REFERENCE_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The reference injects its styles; scripts come from here only, and nothing from elsewhere."""

logger = log.get(__name__)


class Health(Output):
    status: Literal["ok"]


@router.get("/livez", operation_id="get_liveness", response_model=Health)
async def livez() -> Response:
    """Whether the process answers at all."""
    return answer({"status": "ok"})


@router.get("/readyz", operation_id="get_readiness", response_model=Health)
async def readyz(request: Request, rt: Running) -> Response:
    """Whether it can do its work: 503 while the database cannot be reached."""
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            await health.check(rt)
    except Exception as error:
        logger.warning("not_ready", kind=type(error).__name__)
        return problems.problem(
            503, "not_ready", "The database does not answer.", problems.request_id(request)
        )
    return answer({"status": "ok"})


@router.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    """Prometheus's text format."""
    return Response(generate_latest(), 200, media_type=CONTENT_TYPE_LATEST)


@router.get("/docs", include_in_schema=False)
async def reference() -> Response:
    """The API reference, to be read without a connection to anywhere else."""
    headers = {"Content-Security-Policy": REFERENCE_CSP, "Referrer-Policy": "no-referrer"}
    return Response(_file("page.html"), 200, headers, "text/html; charset=utf-8")


@router.get("/docs/reference.js", include_in_schema=False)
async def reference_script() -> Response:
    """Scalar's reference (MIT), as published."""
    return Response(_file("standalone.js"), 200, None, "text/javascript; charset=utf-8")


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The OpenAPI document of this service."""
    return answer(request.app.openapi(), tagged=False)


@lru_cache(maxsize=4)
def _file(name: str) -> bytes:
    return files("app.api").joinpath("reference", name).read_bytes()
