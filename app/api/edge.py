"""The outermost layer: names each request, bounds its body, counts it, and lets no error out."""

import time
from typing import Any, Final

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import log
from app.api import problems
from app.ids import new_id, show

REQUESTS: Final = Counter(
    "perennial_http_requests_total", "Answers given.", ("method", "route", "status")
)
SECONDS: Final = Histogram("perennial_http_request_seconds", "Time to answer.", ("method", "route"))
METHODS: Final = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"})
CACHEABLE: Final = ((b"x-content-type-options", b"nosniff"),)
HEADERS: Final = ((b"cache-control", b"no-store"), *CACHEABLE)
"""Nothing is kept on the way, but for what says itself for how long it may be."""

logger = log.get(__name__)
# Looking labels up costs more than counting: what was looked up once is kept.
_counters: dict[tuple[str, str, int], Any] = {}
_histograms: dict[tuple[str, str], Any] = {}


class Edge:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp, *, body_bytes_max: int) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = show("req", new_id())
        scope["request_id"] = request_id
        answered = 0

        async def send_named(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"]
                given = message["headers"]
                message["headers"] = [
                    *(CACHEABLE if any(name == b"cache-control" for name, _ in given) else HEADERS),
                    *given,
                    (b"request-id", request_id.encode()),
                ]
            await send(message)

        try:
            await self._app(scope, _bounded(receive, self._body_bytes_max), send_named)
        except Exception as error:  # the last line: whatever it is, it is answered
            logger.error("request_failed", request_id=request_id, exc_info=error)
            if not answered:
                await problems.internal(request_id)(scope, receive, send_named)
        _count(scope, answered, time.perf_counter() - began)


def _bounded(receive: Receive, limit: int) -> Receive:
    """`receive`, until it has brought more than `limit` bytes: then it raises BodyTooLarge."""
    total = 0

    async def receive_bounded() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > limit:
                raise problems.BodyTooLarge(f"A body may have {limit} bytes.")
        return message

    return receive_bounded


def _count(scope: Scope, status: int, seconds: float) -> None:
    route = scope.get("route")
    # Never the path itself: strangers would choose how many series there are.
    template = getattr(route, "path", "none")
    method = scope["method"] if scope["method"] in METHODS else "other"
    counter = _counters.get((method, template, status))
    if counter is None:
        counter = _counters[method, template, status] = REQUESTS.labels(method, template, status)
    counter.inc()
    histogram = _histograms.get((method, template))
    if histogram is None:
        histogram = _histograms[method, template] = SECONDS.labels(method, template)
    histogram.observe(seconds)
