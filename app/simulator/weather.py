"""How faults look from outside: answers that are late, cut, wrong, or never come."""

import asyncio
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.simulator.faults import Fault, Kind

HANG_SECONDS: Final = 120
RETRY_AFTER_SECONDS: Final = 1


class CutResponse(Response):
    """Promises the whole body, sends half of it, and lets the server close the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak half the truth."""
        del scope, receive
        head = {"type": "http.response.start", "status": self.status_code}
        await send(head | {"headers": self.raw_headers})
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


def json(status: int, content: dict[str, Any]) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def failure(status: int, code: str, message: str, param: str | None = None) -> Response:
    """An error answer; 429 says when to come back."""
    answer = json(status, {"error": {"code": code, "message": message, "param": param}})
    if status == 429:  # noqa: PLR2004  Too Many Requests
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


async def hang(request: Request) -> Response:
    """Say nothing until the caller goes away, or has waited longer than any client does."""
    try:
        async with asyncio.timeout(HANG_SECONDS):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass
    return failure(504, "timeout", "Too late.")


async def spoil(request: Request, fault: Fault | None, response: Response) -> Response:
    """What the caller sees of `response` through a fault."""
    match fault.kind if fault else None:
        case Kind.TIMEOUT_BEFORE_EFFECT | Kind.TIMEOUT_AFTER_EFFECT:
            return await hang(request)
        case Kind.ERROR_500_BEFORE | Kind.ERROR_500_AFTER | Kind.LATE_EFFECT:
            return failure(500, "internal_error", "A fault was asked for.")
        case Kind.ERROR_429:
            return failure(429, "rate_limited", "A fault was asked for.")
        case Kind.CUT_BODY:
            return CutResponse(response.body, response.status_code, media_type=response.media_type)
        case Kind.LATENCY | Kind.DUPLICATE | Kind.DECLINE | None:
            return response
