"""The ASGI application: every route, behind one edge, with one way to say what went wrong."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from app import process
from app.api import (
    advice,
    api_keys,
    billing_settings,
    catalog,
    coupons,
    credit_notes,
    customers,
    deliveries,
    discounts,
    disputes,
    documents,
    dunning,
    entitlements,
    events,
    explanations,
    features,
    gateway_accounts,
    gateways,
    history,
    inbound_events,
    invoice_series,
    invoices,
    ledger,
    merchants,
    meters,
    offers,
    openapi,
    operations,
    paying,
    payment_links,
    payment_methods,
    payment_pages,
    payments,
    pending_items,
    plans,
    previews,
    price_migrations,
    prices,
    problems,
    promotion_codes,
    reconciliations,
    redemptions,
    refunds,
    reports,
    schedules,
    setup_sessions,
    simulations,
    subscription_discounts,
    subscriptions,
    tax,
    tax_engine,
    tax_ids,
    tax_rates,
    tax_registrations,
    test_clocks,
    usage_events,
    webhook_endpoints,
    webhooks_in,
)
from app.api.edge import Edge
from app.api.endpoint import Endpoint
from app.api.nudge import Nudge
from app.api.problems import METHOD_NOT_ALLOWED
from app.domain.errors import BillingError
from app.runtime import Runtime, open_runtime
from app.services.api_keys import KeyRing
from app.services.inbox import Mailbox
from app.settings import Settings

ROUTERS = (
    subscriptions.router,
    schedules.router,
    subscription_discounts.router,
    invoices.router,
    credit_notes.router,
    pending_items.router,
    invoice_series.router,
    previews.router,
    history.router,
    explanations.router,
    simulations.router,
    advice.router,
    documents.router,
    documents.notes_router,
    documents.settings_router,
    customers.router,
    payments.router,
    payment_links.router,
    paying.router,
    payment_pages.router,
    payment_methods.router,
    setup_sessions.router,
    setup_sessions.storefront,
    plans.router,
    prices.router,
    price_migrations.router,
    features.router,
    entitlements.router,
    catalog.router,
    billing_settings.router,
    coupons.router,
    discounts.router,
    promotion_codes.router,
    redemptions.router,
    offers.redeeming,
    offers.router,
    tax_rates.router,
    tax_registrations.router,
    tax_ids.router,
    tax.router,
    tax_engine.router,
    meters.router,
    usage_events.router,
    usage_events.of_subscriptions,
    refunds.router,
    disputes.router,
    dunning.router,
    reconciliations.router,
    events.router,
    deliveries.of_events,
    deliveries.router,
    webhook_endpoints.router,
    reports.router,
    ledger.router,
    test_clocks.router,
    gateway_accounts.router,
    gateways.router,
    webhooks_in.router,
    inbound_events.router,
    api_keys.router,
    merchants.router,
    operations.router,
)

NOUN: Final = 2
SINGLE: Final = 4
"""Segments of `/v1/noun/id`; the first is empty."""


class Dispatch:
    """Finds the route by the noun in the address, so that the other nouns' cost nothing.

    Reading a single object is what callers do most: it needs no pattern and no FastAPI at all.
    """

    def __init__(self, router: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._router = AsyncExitStackMiddleware(router)
        self._found = AsyncExitStackMiddleware(_handle_found)
        self._singles: dict[str, Endpoint] = {}
        self._words: set[str] = set()  # addresses that no identifier may be read into
        self._by_noun: dict[str, list[Endpoint]] = {}
        for route in routes:
            if isinstance(route, Endpoint):
                self._by_noun.setdefault(route.need.noun, []).append(route)
                if route.reads_one:
                    self._singles[route.need.noun] = route
                elif "{" not in route.path:
                    self._words.add(route.path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            segments = scope["path"].split("/")
            path = scope["path"]
            if len(segments) == SINGLE and scope["method"] == "GET" and path not in self._words:
                single = self._singles.get(segments[2])
                plain = b"as_of" not in scope["query_string"]
                if single is not None and segments[1] == "v1" and segments[3] and plain:
                    scope["route"] = single
                    await single.read_one(scope, receive, send, segments[3])
                    return
            for route in self._by_noun.get(segments[2] if len(segments) > NOUN else "", ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    if path in self._words and route.path != path:
                        raise HTTPException(METHOD_NOT_ALLOWED)
                    scope.update(found)
                    await self._found(scope, receive, send)
                    return
        await self._router(scope, receive, send)


async def _handle_found(scope: Scope, receive: Receive, send: Send) -> None:
    await scope["route"].handle(scope, receive, send)


class Service(FastAPI):
    """FastAPI with our own stack: one edge outside, no layer that only passes on."""

    def __init__(self, body_bytes_max: int, **options: Any) -> None:
        self._body_bytes_max = body_bytes_max
        self._stack: ASGIApp | None = None
        super().__init__(**options)

    def build_middleware_stack(self) -> ASGIApp:
        routed = Dispatch(self.router, self.routes)
        handled = ExceptionMiddleware(routed, handlers=self.exception_handlers)
        return Edge(handled, body_bytes_max=self._body_bytes_max)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._stack is None and not self._native_telemetry.enabled():
            # Asked once: whoever wants telemetry has set it up before the first request.
            self._stack = self.build_middleware_stack()
        if self._stack is None or scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self._stack(scope, receive, send)

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
            process.settle()
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
    app.state.mailbox = Mailbox()
    app.state.nudge = Nudge()
    for router in ROUTERS:
        app.router.routes.extend(router.routes)
    app.exception_handlers = {
        BillingError: problems.billing_error,
        RequestValidationError: problems.validation_error,
        HTTPException: problems.http_error,
        Exception: problems.unexpected,
    }
    return app
