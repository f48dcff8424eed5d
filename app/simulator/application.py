"""The simulator's routes: what changes something, what looks it up, and the test API."""

import html
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app.clock import Clock, SystemClock
from app.simulator import disputes
from app.simulator.events import ACCOUNT
from app.simulator.ledger import Ledger
from app.simulator.requests import (
    ClockBody,
    ConfirmBody,
    DisputeBody,
    DisputeUpdate,
    EndpointBody,
    PaymentMethodBody,
    Refusal,
    ReturnBody,
    validated,
)
from app.simulator.server import Handler, Simulator, refusing
from app.simulator.weather import json

DEFAULT_SECRET: Final = "sk_sim_test"  # noqa: S105  opens a toy ledger, and docs/simulator.md prints it
SECRET_VARIABLE: Final = "PERENNIAL_SIMULATOR_SECRET"  # noqa: S105  the name of a variable
SHUTDOWN_SECONDS: Final = 1
"""Hanging requests are the point of some faults; they are not waited for."""
KEEPALIVE_SECONDS: Final = 75
"""Longer than any client keeps idle connections, so that none meets one that is closing."""
PAGE_MAX: Final = 1_000
LAST_MS: Final = 2**62
ACTION_PAGE: Final = """<!doctype html><html lang="en"><title>Simulator</title>
<h1>Confirm this payment?</h1><p>{amount} minor units of {currency}. No money moves.</p>
<form method="post"><button name="answer" value="yes">Confirm</button>
<button name="answer" value="no">Refuse</button></form></html>"""
DONE_PAGE: Final = """<!doctype html><html lang="en"><title>Simulator</title>
<h1>The payment is {status}.</h1></html>"""


class LookUps:
    """The routes that change nothing, and those that only tests and the demo use."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator

    def get(self, kind: str) -> Handler:
        """GET /v1/charges/{id} and /v1/refunds/{id}."""

        async def handler(request: Request) -> Response:
            own_id = request.path_params["id"]
            return await self._sim.seen(request, own_id, lambda: self._one(kind, own_id))

        return handler

    def _one(self, kind: str, own_id: str) -> dict[str, Any]:
        rows = self._sim.bank.found(self._sim.ledger.by_id(kind, own_id))
        if not rows:
            raise Refusal(404, "not_found", f"No such {kind}.")
        return rows[0]

    def find(self, kind: str) -> Handler:
        """GET /v1/charges?reference= and /v1/refunds?reference=."""

        async def handler(request: Request) -> Response:
            reference = needed(request, "reference")

            def look() -> dict[str, Any]:
                rows = self._sim.bank.found(self._sim.ledger.by_reference(kind, reference))
                return {"object": "list", "data": rows}

            return await self._sim.seen(request, reference, look)

        return handler

    async def orders(self, request: Request) -> Response:
        """GET /v1/orders?receipt=, oldest first."""
        receipt = needed(request, "receipt")

        def look() -> dict[str, Any]:
            rows = self._sim.ledger.find("orders", receipt=receipt)
            return {"object": "list", "data": rows}

        return await self._sim.seen(request, receipt, look)

    async def transactions(self, request: Request) -> Response:
        """GET /v1/transactions?start=&end=&after=&limit=: charges and refunds made in a window."""
        start, end = number(request, "start", 0), number(request, "end", LAST_MS)
        after, limit = number(request, "after", 0), page_size(request)

        def look() -> dict[str, Any]:
            rows = self._sim.ledger.made_between(start, end, after, limit + 1)
            return page_of(rows, self._sim.bank.found(rows[:limit]), limit)

        return await self._sim.seen(request, f"{after}", look)

    async def disputes(self, request: Request) -> Response:
        """GET /v1/disputes?start=&end=&after=&limit=: opened or changed in a window."""
        start, end = number(request, "start", 0), number(request, "end", LAST_MS)
        after, limit = number(request, "after", 0), page_size(request)

        def look() -> dict[str, Any]:
            rows = self._sim.disputes.changed_between(start, end, after, limit + 1)
            return page_of(rows, [disputes.show(row) for row in rows[:limit]], limit)

        return await self._sim.seen(request, f"{after}", look)

    async def dispute(self, request: Request) -> Response:
        """GET /v1/disputes/{id}."""
        own_id = request.path_params["id"]
        return await self._sim.seen(request, own_id, lambda: self._sim.disputes.one(own_id))

    async def payment_method(self, request: Request) -> Response:
        """GET /v1/payment_methods/{id}."""
        own_id = request.path_params["id"]
        return await self._sim.seen(request, own_id, lambda: self._sim.vault.method(own_id))

    async def setup(self, request: Request) -> Response:
        """GET /v1/setups/{id}."""
        own_id = request.path_params["id"]
        return await self._sim.seen(request, own_id, lambda: self._sim.vault.setup(own_id))

    async def account(self, request: Request) -> Response:
        """GET /v1/account: whether the secret is right."""
        del request
        return json(200, {"object": "account", "id": ACCOUNT, "mode": "test"})

    # ── the test API, and the customer's part ─────────────────────────────────────────────────────

    async def create_payment_method(self, request: Request) -> Response:
        """POST /v1/payment_methods."""
        shown = self._sim.vault.create_method(validated(PaymentMethodBody, await request.body()))
        return await self._changed(201, shown)

    async def return_refund(self, request: Request) -> Response:
        """POST /v1/refunds/{id}/return."""
        body = validated(ReturnBody, await request.body())
        return await self._changed(200, self._sim.bank.send_back(request.path_params["id"], body))

    async def open_dispute(self, request: Request) -> Response:
        """POST /v1/disputes."""
        shown = self._sim.disputes.open(validated(DisputeBody, await request.body()))
        return await self._changed(201, shown)

    async def update_dispute(self, request: Request) -> Response:
        """POST /v1/disputes/{id}."""
        body = validated(DisputeUpdate, await request.body())
        return await self._changed(200, self._sim.disputes.update(request.path_params["id"], body))

    async def endpoint(self, request: Request) -> Response:
        """PUT and DELETE /v1/webhook_endpoint."""
        wanted = None
        if request.method == "PUT":
            wanted = validated(EndpointBody, await request.body())
        self._sim.events.set_endpoint(wanted)
        return await self._changed(
            200, {"object": "webhook_endpoint", "is_set": wanted is not None}
        )

    async def clock(self, request: Request) -> Response:
        """PUT and DELETE /v1/clock."""
        wanted = None
        if request.method == "PUT":
            wanted = validated(ClockBody, await request.body()).at
        self._sim.bank.set_at_ms = wanted
        self._sim.bank.settle_due()
        return await self._changed(200, {"object": "clock", "at": self._sim.bank.now_ms()})

    async def confirm_setup(self, request: Request) -> Response:
        """POST /setups/{id}/confirm, with the client secret and nothing else."""
        body = validated(ConfirmBody, await request.body())
        shown = self._sim.vault.confirm_setup(request.path_params["id"], body)
        return await self._changed(200, shown)

    async def confirm_action(self, request: Request) -> Response:
        """POST /actions/{id}/confirm, with the client secret and nothing else."""
        body = validated(ConfirmBody, await request.body())
        return await self._changed(200, self._sim.bank.confirm(request.path_params["id"], body))

    async def action_page(self, request: Request) -> Response:
        """GET and POST /actions/{id}?secret=: the page where the customer confirms a charge."""
        own_id, secret = request.path_params["id"], needed(request, "secret")
        if request.method == "POST":
            refuses = b"answer=no" in await request.body()
            code = "authentication_required" if refuses else None
            body = ConfirmBody(client_secret=secret, decline_code=code)
            status = self._sim.bank.confirm(own_id, body)["status"]
            await self._sim.ledger.committed()
            return HTMLResponse(DONE_PAGE.format(status=html.escape(status)))
        found = self._sim.ledger.by_id("charge", own_id)
        if not found or found[0]["client_secret"] != secret:
            raise Refusal(404, "not_found", "No such charge.")
        amount, currency = found[0]["amount"], html.escape(found[0]["currency"])
        return HTMLResponse(ACTION_PAGE.format(amount=amount, currency=currency))

    async def books(self, request: Request) -> Response:
        """GET /v1/ledger: totals, duplicates and transactions; the oracle."""
        after, limit = number(request, "after", 0), page_size(request)
        reference = request.query_params.get("reference")
        self._sim.bank.settle_due()
        rows = self._sim.ledger.page(after, limit + 1, reference)
        content = {
            "object": "ledger",
            "totals": self._sim.ledger.totals(reference),
            "duplicates": self._sim.ledger.duplicates(reference),
            "transactions": page_of(rows, rows[:limit], limit),
        }
        return await self._changed(200, content)

    async def _changed(self, status: int, content: dict[str, Any]) -> Response:
        await self._sim.ledger.committed()
        return json(status, content)


def page_of(rows: list[dict[str, Any]], shown: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page of a list, read with one row more than it shows."""
    has_more = len(rows) > limit
    return {
        "object": "list",
        "data": shown,
        "has_more": has_more,
        "next_cursor": str(rows[limit - 1]["seq"]) if has_more else None,
    }


def page_size(request: Request) -> int:
    """How many rows a page may have."""
    return max(1, min(number(request, "limit", 100), PAGE_MAX))


def needed(request: Request, name: str) -> str:
    """A value from the query that must be there."""
    value = request.query_params.get(name)
    if value is None:
        raise Refusal(400, "invalid_request", f"Say which {name}.", name)
    return value


def number(request: Request, name: str, default: int) -> int:
    """A whole number from the query."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or int(text) > LAST_MS:
        raise Refusal(400, "invalid_request", "Not a whole number.", name)
    return int(text)


async def livez(request: Request) -> Response:
    """GET /livez: the process answers."""
    del request
    return json(200, {"status": "ok"})


def routes(sim: Simulator) -> list[Route]:
    """Everything behind the secret, then what the customer's browser calls."""
    looks = LookUps(sim)

    def route(path: str, handler: Handler, *methods: str) -> Route:
        return Route(path, sim.guarded(handler), methods=methods)

    return [
        route("/v1/customers", sim.create_customer, "POST"),
        route("/v1/setups", sim.start_setup, "POST"),
        route("/v1/setups/{id}", looks.setup, "GET"),
        route("/v1/payment_methods", looks.create_payment_method, "POST"),
        route("/v1/payment_methods/{id}", looks.payment_method, "GET"),
        route("/v1/payment_methods/{id}", sim.detach_payment_method, "DELETE"),
        route("/v1/orders", sim.create_order, "POST"),
        route("/v1/orders", looks.orders, "GET"),
        route("/v1/charges", sim.create_charge, "POST"),
        route("/v1/charges", looks.find("charge"), "GET"),
        route("/v1/charges/{id}", looks.get("charge"), "GET"),
        route("/v1/charges/{id}/capture", sim.capture, "POST"),
        route("/v1/charges/{id}/void", sim.void, "POST"),
        route("/v1/refunds", sim.create_refund, "POST"),
        route("/v1/refunds", looks.find("refund"), "GET"),
        route("/v1/refunds/{id}", looks.get("refund"), "GET"),
        route("/v1/refunds/{id}/return", looks.return_refund, "POST"),
        route("/v1/transactions", looks.transactions, "GET"),
        route("/v1/disputes", looks.open_dispute, "POST"),
        route("/v1/disputes", looks.disputes, "GET"),
        route("/v1/disputes/{id}", looks.dispute, "GET"),
        route("/v1/disputes/{id}", looks.update_dispute, "POST"),
        route("/v1/webhook_endpoint", looks.endpoint, "PUT", "DELETE"),
        route("/v1/ledger", looks.books, "GET"),
        route("/v1/clock", looks.clock, "PUT", "DELETE"),
        route("/v1/faults", sim.faults, "GET", "PUT", "DELETE"),
        route("/v1/account", looks.account, "GET"),
        Route("/setups/{id}/confirm", refusing(looks.confirm_setup), methods=["POST"]),
        Route("/actions/{id}/confirm", refusing(looks.confirm_action), methods=["POST"]),
        Route("/actions/{id}", refusing(looks.action_page), methods=["GET", "POST"]),
        Route("/livez", livez),
    ]


def create_app(
    path: Path | None,
    *,
    secret: str = DEFAULT_SECRET,
    clock: Clock | None = None,
    url: str = "http://127.0.0.1:8127",
) -> Starlette:
    """The simulator as an ASGI app; its ledger lives at `path`, or in memory without one.

    `url` is where customers find it.
    """
    simulator = Simulator(Ledger(path), secret, clock or SystemClock(), url)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        simulator.start()
        yield
        await simulator.stop()

    return Starlette(routes=routes(simulator), lifespan=lifespan)


def serve(path: Path | None, *, host: str, port: int) -> None:
    """Serve the simulator in this process until it is told to stop."""
    secret = os.environ.get(SECRET_VARIABLE, DEFAULT_SECRET)
    uvicorn.run(
        create_app(path, secret=secret, url=f"http://{host}:{port}"),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=KEEPALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
