"""The ASGI application: every route, behind one edge, with one way to say what went wrong."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Match, Route

from app.api import (
    api_keys,
    coupons,
    customers,
    events,
    gateway_accounts,
    invoices,
    ledger,
    merchants,
    openapi,
    operations,
    payment_methods,
    payments,
    plans,
    prices,
    problems,
    refunds,
    subscriptions,
    tax_rates,
    test_clocks,
)
from app.api.edge import Asgi, Edge, Receive, Scope, Send
from app.domain.errors import BillingError
from app.runtime import Runtime, open_runtime
from app.services.api_keys import KeyRing
from app.settings import Settings

ROUTERS = (
    subscriptions.router,
    invoices.router,
    customers.router,
    payments.router,
    payment_methods.router,
    plans.router,
    prices.router,
    coupons.router,
    tax_rates.router,
    refunds.router,
    events.router,
    ledger.router,
    test_clocks.router,
    gateway_accounts.router,
    api_keys.router,
    merchants.router,
    operations.router,
)


class Dispatch:
    """Finds the route by the noun in its address first, so that the other nouns' cost nothing."""

    def __init__(self, router: Asgi, routes: Iterable[BaseRoute]) -> None:
        self._router = router
        self._by_noun: dict[str, list[Route]] = {}
        for route in routes:
            if isinstance(route, Route) and route.path.startswith("/v1/"):
                self._by_noun.setdefault(route.path.split("/")[2], []).append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            segments = scope["path"].split("/", 3)
            noun = segments[2] if len(segments) > 2 else ""  # noqa: PLR2004  /v1/noun
            for route in self._by_noun.get(noun, ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    await route.handle(scope, receive, send)
                    return
        await self._router(scope, receive, send)


class Service(FastAPI):
    """FastAPI with our own stack: one edge outside, no layer that only passes on."""

    def __init__(self, body_bytes_max: int, **options: Any) -> None:
        self._body_bytes_max = body_bytes_max
        super().__init__(**options)

    def build_middleware_stack(self) -> Asgi:
        routed = AsyncExitStackMiddleware(Dispatch(self.router, self.routes))
        handled = ExceptionMiddleware(routed, handlers=self.exception_handlers)
        return Edge(handled, body_bytes_max=self._body_bytes_max)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return openapi.document(self)


def create_app(settings: Settings, runtime: Runtime | None = None) -> Service:
    """The application; without a runtime it opens its own for as long as it serves."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if runtime is not None:
            yield
            return
        async with open_runtime(settings) as own:
            app.state.runtime = own
            yield

    app = Service(
        settings.body_bytes_max,
        title=openapi.TITLE,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.runtime = runtime
    app.state.keys = KeyRing()
    for router in ROUTERS:
        app.router.routes.extend(router.routes)
    app.exception_handlers = {
        BillingError: problems.billing_error,
        RequestValidationError: problems.validation_error,
        HTTPException: problems.http_error,
        OSError: problems.unreachable,  # also TimeoutError: the server or its pool
    }
    return app
