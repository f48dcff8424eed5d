"""Stripe's API over HTTP: keys, idempotency, oracles, faults; and `/fake/…`, past the API.

Idempotency as https://docs.stripe.com/api/idempotent_requests tells it: once execution has begun,
status and body are kept under the key, errors too, even a 500; other parameters are an
idempotency_error; a key in use is 409. Refused parameters, a wrong key and 429 keep nothing.
"""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.simulator.faults import BEFORE_EFFECT, Fault, Kind, Operation, Plan, Strike, Weather
from app.simulator.weather import CutResponse, hang
from tests.gateways.fakes.stripe.bank import Bank
from tests.gateways.fakes.stripe.books import Books, Refused
from tests.gateways.fakes.stripe.deliveries import Deliveries
from tests.gateways.fakes.stripe.objects import Object
from tests.gateways.oracles import stripe_spec, stripe_types

KEYS = frozenset({"sk_test_fake", "rk_test_fake"})
READ_ONLY_KEY = "rk_test_readonly"
KEY_CHARS_MAX = 255
OPERATIONS = {
    "payment_intents": Operation.CHARGE,
    "refunds": Operation.REFUND,
    "customers": Operation.CUSTOMER,
    "setup_intents": Operation.SETUP,
    "payment_methods": Operation.DETACH,
}
DECLINES = {"expired": "expired_card", "fraud": "fraudulent", "lost_or_stolen": "lost_card"}
"""The simulator's words for faults, in Stripe's."""


@dataclass(frozen=True)
class Stored:
    """An answer as it is kept under a key."""

    signed: bytes
    status: int
    body: bytes


def answer(status: int, content: Any, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(orjson.dumps(content), status, headers=named, media_type="application/json")


class Fake:
    """One account at Stripe."""

    def __init__(self) -> None:
        self.books = Books()
        self.bank = Bank(self.books)
        self.deliveries = Deliveries(self.books)
        self.weather = Weather()
        self.scripted: list[Object] = []
        self.faults_found: list[str] = []
        self.requests: list[Object] = []
        self._stored: dict[str, Stored] = {}
        self._running: set[str] = set()
        self._late: set[asyncio.Task[None]] = set()

    # ── the API ───────────────────────────────────────────────────────────────────────────────────

    async def api(self, request: Request) -> Response:
        """Every path under /v1."""
        body = await request.body()
        refused = self._turned_away(request)
        if refused is not None:
            return refused
        if self._judge(request, body):
            return self._error(400, code="fake_oracle", message="Not what Stripe publishes.")
        self.bank.settle_due()
        operation = self._operation(request)
        key = request.headers.get("idempotency-key", "")
        form = dict(parse_qsl(body.decode()))
        strike = self.weather.strike(operation, key, form.get("payment_method"))
        if strike.delay_ms and request.method == "GET":
            await asyncio.sleep(strike.delay_ms / 1000)
        script = self._script(operation)
        if script is not None and not script.get("effect"):
            return self._scripted(script, key, request, body)
        if request.method == "GET":
            return await self._spoilt(request, strike.fault, self._execute(request, b"", strike))
        response = await self._once(request, key, body, strike)
        return response if script is None else self._scripted(script, key, request, body)

    def _turned_away(self, request: Request) -> Response | None:
        """Before anything is looked at."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given == READ_ONLY_KEY and request.method == "POST":
            return self._error(403, message="The provided key does not have the permissions.")
        if given not in KEYS | {READ_ONLY_KEY}:
            return self._error(401, message="Invalid API Key provided: sk_test_******wrong")
        return None

    def _judge(self, request: Request, body: bytes) -> list[str]:
        """What of a request is not what Stripe publishes that may be asked."""
        method, path, query = request.method, request.url.path, request.url.query
        headers = request.headers
        found = stripe_types.request_faults(method, path, query, body)
        if stripe_spec.is_present():
            form = headers.get("content-type", "")
            found += stripe_spec.spec().request_faults(method, path, query, form, body)
        if headers.get("stripe-version") != stripe_types.API_VERSION:
            found.append(f"Stripe-Version {headers.get('stripe-version')!r}")
        if method == "POST" and not 1 <= len(headers.get("idempotency-key", "")) <= KEY_CHARS_MAX:
            found.append("an Idempotency-Key of 1 to 255 characters is missing")
        self.faults_found += [f"{method} {path}: {one}" for one in found]
        said = {"method": method, "path": path, "query": query, "body": body.decode()}
        self.requests.append(said | {"key": headers.get("idempotency-key")})
        return found

    def _operation(self, request: Request) -> Operation:
        if request.method == "GET":
            return Operation.LOOKUP
        _, _, resource, *rest = request.url.path.split("/")
        last = rest[-1] if rest else ""
        if resource == "payment_intents" and len(rest) == 1:
            return Operation.ORDER  # an update, for want of a better word
        named = {"capture": Operation.CAPTURE, "cancel": Operation.VOID}
        return named.get(last) or OPERATIONS[resource]

    async def _once(self, request: Request, key: str, body: bytes, strike: Strike) -> Response:
        """One request that changes something, through whatever comes."""
        fault = strike.fault
        if fault is not None and fault.kind is Kind.ERROR_429:
            return await self._spoilt(request, fault, Response())
        if key in self._running:
            return self._error(
                409,
                type="idempotency_error",
                code="idempotency_key_in_use",
                message="There is currently another in-progress request using this key.",
            )
        self._running.add(key)
        response = Response()
        try:
            if strike.delay_ms:
                await asyncio.sleep(strike.delay_ms / 1000)
            if fault is None or fault.kind not in BEFORE_EFFECT:
                response = self._kept(request, key, body, strike)
        finally:
            self._running.discard(key)
        if fault is not None and fault.kind is Kind.LATE_EFFECT:
            self._running.add(key)
            task = asyncio.create_task(self._later(request, key, body, fault))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        return await self._spoilt(request, fault, response)

    async def _later(self, request: Request, key: str, body: bytes, fault: Fault) -> None:
        await asyncio.sleep(fault.delay_ms / 1000)
        self._running.discard(key)
        self._kept(request, key, body, Strike())

    def _kept(self, request: Request, key: str, body: bytes, strike: Strike) -> Response:
        signed = f"{request.method} {request.url.path}\n".encode() + body
        stored = self._stored.get(key)
        if stored is not None:
            if stored.signed != signed:
                return self._error(
                    400,
                    type="idempotency_error",
                    message="Keys for idempotent requests can only be used with the same "
                    "parameters they were first used with.",
                )
            replayed = Response(stored.body, stored.status, media_type="application/json")
            replayed.headers["Idempotent-Replayed"] = "true"
            return replayed
        response = self._execute(request, body, strike)
        if response.headers.get("fake-not-stored") is None:
            self._stored[key] = Stored(signed, response.status_code, bytes(response.body))
        else:
            del response.headers["fake-not-stored"]
        if strike.fault is not None and strike.fault.kind is Kind.DUPLICATE:
            self._execute(request, body, strike)
        return response

    def _execute(self, request: Request, body: bytes, strike: Strike) -> Response:
        """What the request does, whoever asked for it before."""
        text = request.url.query if request.method == "GET" else body.decode()
        said = stripe_spec.nested(parse_qsl(text, keep_blank_values=True))
        _, _, resource, *rest = request.url.path.split("/")
        fault = strike.fault
        said["_decline"] = DECLINES.get(fault.decline_code, fault.decline_code) if fault else None
        try:
            done = self._done(request.method, resource, rest, said)
            if done.get("object") != "list":
                done = self.books.shown(done, said.get("expand", []))
        except Refused as refused:
            return self._refusal(refused)
        self._judge_answer(done)
        return answer(200, done, Request_Id=self.books.name("req"))

    def _done(self, method: str, resource: str, rest: list[str], said: Object) -> Object:
        decline = said.pop("_decline")
        if method == "GET":
            return self._shown(resource, rest, said)
        match method, resource, rest:
            case "POST", "customers", []:
                return self.bank.customer(said)
            case "POST", "payment_intents", []:
                return self.bank.pay(said, decline)
            case "POST", "payment_intents", [id]:
                return self.bank.update(id, said)
            case "POST", "payment_intents", [id, "capture"]:
                return self.bank.capture(id, said)
            case "POST", "payment_intents", [id, "cancel"]:
                return self.bank.cancel(id, said)
            case "POST", "payment_methods", [id, "detach"]:
                return self.bank.detach(id)
            case "POST", "refunds", []:
                return self.bank.refund(said)
            case "POST", "setup_intents", []:
                return self.bank.set_up(said)
            case _:
                message = f"Unrecognized request URL ({method}: /v1/{resource})."
                raise Refused(404, message=message)

    def _shown(self, resource: str, rest: list[str], said: Object) -> Object:
        kind = resource.removesuffix("s")
        if not rest:
            return self._list(kind, said)
        param = {"payment_intent": "intent", "setup_intent": "intent"}.get(kind, kind)
        return self.books.get(kind, rest[0], param=param, status=404)

    def _list(self, kind: str, query: Object) -> Object:
        filters = ("customer", "payment_intent", "charge", "email")
        asked = {name: query[name] for name in filters if name in query}
        for name, value in asked.items():
            if name != "email":
                self.books.get(name, value, param=name)
        pattern = query.get("type")

        def keep(one: Object) -> bool:
            if pattern is not None and not one["type"].startswith(pattern.removesuffix("*")):
                return False
            return all(one.get(name) == value for name, value in asked.items())

        return self.books.listed(kind, query, keep)

    # ── what goes wrong ───────────────────────────────────────────────────────────────────────────

    def _script(self, operation: Operation) -> Object | None:
        """An answer that a test asked for, word for word."""
        for place, script in enumerate(self.scripted):
            if script.get("operation", operation) == operation:
                return self.scripted.pop(place)
        return None

    def _scripted(self, script: Object, key: str, request: Request, body: bytes) -> Response:
        content = script.get("body", {"error": {"type": "api_error", "message": "Sorry."}})
        response = answer(script.get("status", 500), content, **script.get("headers", {}))
        if script.get("stored"):
            signed = f"{request.method} {request.url.path}\n".encode() + body
            self._stored[key] = Stored(signed, response.status_code, bytes(response.body))
        return response

    async def _spoilt(self, request: Request, fault: Fault | None, response: Response) -> Response:
        match fault.kind if fault else None:
            case Kind.TIMEOUT_BEFORE_EFFECT | Kind.TIMEOUT_AFTER_EFFECT:
                return await hang(request)
            case Kind.ERROR_500_BEFORE | Kind.ERROR_500_AFTER | Kind.LATE_EFFECT:
                return self._error(500, type="api_error", message="An error occurred.")
            case Kind.ERROR_429:
                late = self._error(429, code="rate_limit", message="Request rate limit exceeded.")
                late.headers["Retry-After"] = "1"
                return late
            case Kind.CUT_BODY:
                return CutResponse(
                    response.body, response.status_code, media_type=response.media_type
                )
            case _:
                return response

    def _error(self, status: int, **error: Any) -> Response:
        said = {"type": "invalid_request_error", **error}
        return answer(status, {"error": said}, Request_Id=self.books.name("req"))

    def _refusal(self, refused: Refused) -> Response:
        error = dict(refused.error)
        if refused.intent is not None:
            error["payment_intent"] = self.books.shown(self.books.objects[refused.intent])
            self._judge_answer(error["payment_intent"])
        response = self._error(refused.status, **error)
        if not refused.is_stored:
            response.headers["fake-not-stored"] = "true"
        return response

    def _judge_answer(self, done: Object) -> None:
        """Whether what is answered is what Stripe publishes that it answers."""
        if not stripe_spec.is_present():
            return
        for one in done["data"] if done["object"] == "list" else [done]:
            found = stripe_spec.spec().answer_faults(one["object"], one)
            self.faults_found += [f"answer {one['id']}: {fault}" for fault in found]

    # ── past the API ──────────────────────────────────────────────────────────────────────────────

    async def control(self, request: Request) -> Response:
        """What a test does as the customer, the bank or the weather; and the books."""
        what = request.path_params["what"]
        said: Object = orjson.loads(await request.body() or b"{}")
        if request.method == "GET":
            return answer(200, self._told(what, dict(request.query_params)))
        self.bank.settle_due()
        return answer(200, self._do(what, said))

    def _told(self, what: str, query: dict[str, str]) -> Any:
        match what:
            case "moved":
                self.bank.settle_due()
                return self.books.moved
            case "faults_found":
                return self.faults_found
            case "requests":
                return self.requests
            case "events":
                return self.books.events
            case "deliveries":
                return self.deliveries.signed(query)
            case "objects":
                return self.books.all(query["kind"])
            case _:
                raise AssertionError(what)

    def _do(self, what: str, said: Object) -> Any:  # noqa: C901, PLR0912  one line each
        match what:
            case "faults":
                self.weather.set(Plan.model_validate(said))
                self.scripted.clear()
            case "script":
                self.scripted.append(said)
            case "customer":
                made = self.bank.customer(said)
                if "id" in said:
                    del self.books.objects[made["id"]]
                    self.books.keep(made | {"id": said["id"]})
                return made
            case "payment_method":
                return self.bank.method(said["behaves_like"], said.get("customer"))
            case "act":
                try:
                    return self.bank.act(said["id"], said["client_secret"], said["verdict"])
                except Refused as refused:
                    return {"error": refused.error}
            case "confirm_setup":
                return self.bank.confirm_setup(
                    said["id"], said["client_secret"], said["behaves_like"]
                )
            case "settle":
                self.bank.settle_due(at_once=True)
            case "cancel_setup":
                return self.bank.cancel_setup(said["id"])
            case "dispute":
                return self.bank.dispute(said["charge"], said.get("status", "needs_response"))
            case "change_dispute":
                return self.bank.change_dispute(said["id"], said["status"])
            case "fail_refund":
                self.bank.end_refund(self.books.objects[said["id"]], "failed")
            case "change":
                self.books.objects[said["id"]] |= said["to"]
            case "mode":
                self.books.livemode = said["livemode"]
            case "webhook_endpoint":
                self.deliveries.deliver_to(said.get("url"), said["secrets"])
            case _:
                raise AssertionError(what)
        return {}


def app() -> Starlette:
    """A new account at this Stripe."""
    fake = Fake()

    return Starlette(
        routes=[
            Route("/livez", lambda _: answer(200, {"status": "ok"})),
            Route("/v1/{path:path}", fake.api, methods=["GET", "POST", "DELETE"]),
            Route("/fake/{what}", fake.control, methods=["GET", "POST"]),
        ]
    )
