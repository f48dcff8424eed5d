"""The fake over HTTP: OAuth, the judges at the door, faults on the way in and out."""

import asyncio
import json
from base64 import b64decode
from typing import Any
from zlib import crc32

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from tests.gateways.fakes.paypal.authority import Authority
from tests.gateways.fakes.paypal.bank import Bank, route
from tests.gateways.fakes.paypal.books import Books, Refused, new_id
from tests.gateways.fakes.paypal.control import WEBHOOK_ID, turn
from tests.gateways.fakes.paypal.faults import BEFORE_EFFECT, Fault, Faults, hang
from tests.gateways.fakes.paypal.operations import Asked, answer
from tests.gateways.oracles import paypal_sdk, paypal_spec

CLIENT_ID = "AZDxjDScFpQtjWTOUtWKbyN_bDt4OgqaF4eYXlewfBP4"
CLIENT_SECRET = "EGnHDxD_qRPdaLdZz8iCr8N7_MzF-YHPTkjs6NKYQvQS"
CALLS_MAX = 1_000
NAMES = {
    400: (
        "INVALID_REQUEST",
        "Request is not well-formed, syntactically incorrect, or violates schema.",
    ),
    401: (
        "AUTHENTICATION_FAILURE",
        """Authentication failed due to missing authorization header, or invalid authentication \
credentials.""",
    ),
    403: ("NOT_AUTHORIZED", "Authorization failed due to insufficient permissions."),
    404: ("RESOURCE_NOT_FOUND", "The specified resource does not exist."),
    409: (
        "RESOURCE_CONFLICT",
        "The server has detected a conflict while processing this request.",
    ),
    422: (
        "UNPROCESSABLE_ENTITY",
        """The requested action could not be performed, semantically incorrect, or failed business \
validation.""",
    ),
    429: ("RATE_LIMIT_REACHED", "Too many requests. Blocked due to rate limiting."),
    500: ("INTERNAL_SERVER_ERROR", "An internal server error occurred."),
}


class CutResponse(Response):
    """Promises the whole body, and sends half of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {"type": "http.response.start", "status": self.status_code}
        await send(head | {"headers": self.raw_headers})
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


class Server:
    """PayPal's front door, and ours beside it (`/_fake/…`)."""

    def __init__(self) -> None:
        self.books = Books()
        self.bank = Bank(self.books)
        self.faults = Faults()
        self.specs = paypal_spec.Specs() if paypal_spec.are_present() else None
        self.authority = Authority.make()
        self.certificates = {"CERT-genuine": self.authority.leaf.pem}
        self.genuine = {"CERT-genuine"}
        self.webhook_ids = {WEBHOOK_ID}
        self.access_tokens: dict[str, float] = {}
        self.violations: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.running: set[str] = set()
        self.late: set[asyncio.Task[None]] = set()
        self.copies = 1
        """How often an order is really executed: two is a broken PayPal."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        request = Request(scope, receive)
        response = await self.respond(request)
        await response(scope, receive, send)

    async def respond(self, request: Request) -> Response:
        path = request.url.path
        raw = await request.body()
        if path.startswith("/_fake/"):
            asked = f"{request.method} {path.removeprefix('/_fake/')}"
            given = json.loads(raw) if raw else {}
            return self.json(*turn(self, asked, given, request.query_params))
        if path == "/agreements/approve":
            return self.approve_page(request)
        self.noted(request, raw)
        if path == "/v1/oauth2/token":
            return await self.through_faults(
                request, "oauth2.token", lambda: self.token(request, raw)
            )
        if path.startswith("/v1/notifications/certs/"):
            return await self.through_faults(
                request, "certificate", lambda: self.certificate(path.rpartition("/")[2])
            )
        found = route(request.method, path)
        faults = self.request_faults(request, raw)
        if found is None or faults:
            self.violations.append(f"{request.method} {path}: {faults or 'no such operation'}")
            return self.problem(400, "ORACLE", {"details": [{"issue": "; ".join(faults)[:500]}]})
        if not self.is_authorized(request):
            return self.problem(401)
        pays = request.method == "POST" and path.startswith("/v2/")
        if pays and not self.books.settings.payments_permitted:
            return self.problem(403, "PERMISSION_DENIED")
        verb, ids = found
        return await self.through_faults(
            request, verb, lambda: self.judged(request, verb, ids, raw)
        )

    def noted(self, request: Request, raw: bytes) -> None:
        body = raw.decode(errors="replace")
        self.calls.append(
            {
                "method": request.method,
                "path": request.url.path,
                "query": request.url.query,
                "headers": dict(request.headers),
                "body": body,
            }
        )
        del self.calls[:-CALLS_MAX]

    def request_faults(self, request: Request, raw: bytes) -> list[str]:
        method, path = request.method, request.url.path
        faults = paypal_sdk.request_faults(method, path, raw)
        if self.specs is not None:
            headers = dict(request.headers)
            faults += self.specs.request_faults(method, path, request.url.query, headers, raw)
        return faults

    # ── OAuth, certificates, the page of a set-up ─────────────────────────────────────────────────

    def token(self, request: Request, raw: bytes) -> Response:
        kind, _, pair = request.headers.get("authorization", "").partition(" ")
        given = b64decode(pair).decode() if kind == "Basic" else ""
        if given != f"{CLIENT_ID}:{CLIENT_SECRET}":
            said = {"error": "invalid_client", "error_description": "Client Authentication failed"}
            return self.json(401, said)
        if raw != b"grant_type=client_credentials":
            return self.json(400, {"error": "unsupported_grant_type"})
        token = f"A21AA{new_id()}{new_id()}"
        seconds = self.books.settings.token_seconds
        self.access_tokens[token] = asyncio.get_running_loop().time() + seconds
        said = {"access_token": token, "token_type": "Bearer", "expires_in": seconds}
        return self.json(200, said | {"app_id": "APP-80W284485P519543T", "nonce": "n"})

    def is_authorized(self, request: Request) -> bool:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        until = self.access_tokens.get(token)
        return until is not None and asyncio.get_running_loop().time() < until

    def certificate(self, name: str) -> Response:
        pem = self.certificates.get(name)
        if pem is None:
            return self.problem(404)
        return Response(pem, media_type="application/x-pem-file")

    def approve_page(self, request: Request) -> Response:
        """Where the customer says yes (POST) or goes back (`?cancel=1`)."""
        own_id = request.query_params["approval_session_id"]
        setup = self.books.setups[own_id]
        if request.method == "GET":
            return HTMLResponse("<form method=post><button>Agree</button></form>")
        if "cancel" in request.query_params:
            return RedirectResponse(setup.cancel_url, 303)
        setup.status = "APPROVED"
        setup.declines = "declines" in request.query_params
        return RedirectResponse(f"{setup.return_url}?approval_token_id={own_id}", 303)

    # ── operations ────────────────────────────────────────────────────────────────────────────────

    async def through_faults(self, request: Request, verb: str, execute: Any) -> Response:
        """Execute an operation once, through whatever is switched on."""
        key = request.headers.get("paypal-request-id")
        api = request.url.path.split("/")[2]
        running = f"{api} {key}" if key is not None else None
        if running in self.running:
            return self.problem(409, "PREVIOUS_REQUEST_IN_PROGRESS")
        fault, delay_ms = self.faults.strike(verb)
        response = Response()
        if running is not None:
            self.running.add(running)
        try:
            await asyncio.sleep(delay_ms / 1000)
            if fault is None or fault.kind not in BEFORE_EFFECT:
                response = execute()
        finally:
            self.running.discard(running or "")
        if fault is not None and fault.kind == "late_effect":
            self.later(fault, running, execute)
        return await self.spoiled(request, fault, response)

    def later(self, fault: Fault, running: str | None, execute: Any) -> None:
        async def effect() -> None:
            await asyncio.sleep(fault.delay_ms / 1000)
            execute()
            self.running.discard(running or "")

        if running is not None:
            self.running.add(running)
        task = asyncio.create_task(effect())
        self.late.add(task)
        task.add_done_callback(self.late.discard)

    async def spoiled(self, request: Request, fault: Fault | None, response: Response) -> Response:
        match fault.kind if fault is not None else None:
            case "timeout_before_effect" | "timeout_after_effect":
                await hang(request.receive)
                return self.problem(500)
            case "error_500_before" | "error_500_after" | "late_effect":
                return self.problem(500)
            case "error_503":
                return self.problem(503)
            case "error_401":
                return self.problem(401)
            case "error_429":
                limited = self.problem(429)
                limited.headers["Retry-After"] = "1"
                return limited
            case "redirect":
                return RedirectResponse("http://127.0.0.1:1/elsewhere", 302)
            case "cut_body":
                return CutResponse(bytes(response.body), response.status_code)
            case "garbage":
                return HTMLResponse("<html>Sorry</html>", response.status_code)
            case _:
                return response

    def judged(self, request: Request, verb: str, ids: tuple[str, ...], raw: bytes) -> Response:
        """An operation's answer, which must be as PayPal's own files say."""
        content: Any = None
        try:
            status, content = self.execute(request, verb, ids, raw)
            response = self.json(status, content)
        except Refused as refused:
            response = self.problem(refused.status, refused.issue, refused.more, request)
        body = bytes(response.body)
        method, path = request.method, request.url.path
        faults = []
        if response.status_code < 300:
            faults += paypal_sdk.answer_faults(method, path, body)
        if self.specs is not None:
            faults += self.specs.answer_faults(method, path, response.status_code, body)
        if faults:
            self.violations.append(f"answer {response.status_code} to {method} {path}: {faults}")
        if self.books.settings.answers_are_minimal and method == "POST" and "id" in (content or {}):
            kept = {name: content[name] for name in ("id", "status", "links") if name in content}
            return self.json(response.status_code, kept)
        return response

    def execute(self, request: Request, verb: str, ids: tuple[str, ...], raw: bytes) -> Any:
        if verb == "webhooks.verify":
            return 200, {"verification_status": "SUCCESS" if self.verified(raw) else "FAILURE"}
        key = request.headers.get("paypal-request-id")
        body = json.loads(raw) if raw else {}
        return answer(verb, Asked(self.bank, ids, body, key, request.query_params, self.copies))

    def verified(self, raw: bytes) -> bool:
        """What PayPal says of a delivery: by the bytes of the event as they were sent back."""
        said = json.loads(raw)
        text = raw.decode()
        start = text.index('"webhook_event":') + len('"webhook_event":')
        _, end = json.JSONDecoder().raw_decode(text, start)
        event = text[start:end].encode()
        name = said["cert_url"].rpartition("/")[2]
        if name not in self.genuine or said["webhook_id"] not in self.webhook_ids:
            return False
        key = x509.load_pem_x509_certificate(self.certificates[name]).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        parts = ("transmission_id", "transmission_time", "webhook_id")
        message = "|".join([*(said[part] for part in parts), str(crc32(event))]).encode()
        try:
            signature = b64decode(said["transmission_sig"])
            key.verify(signature, message, padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True

    # ── answers ───────────────────────────────────────────────────────────────────────────────────

    def json(self, status: int, content: Any) -> Response:
        body = orjson.dumps(content) if content is not None else b""
        headers = {"PayPal-Debug-Id": f"f{new_id().lower()[:12]}"}
        return Response(body, status, headers, media_type="application/json")

    def problem(
        self,
        status: int,
        issue: str | None = None,
        more: dict[str, Any] | None = None,
        request: Request | None = None,
    ) -> Response:
        name, message = NAMES.get(status, ("SERVICE_UNAVAILABLE", "Service Unavailable."))
        content: dict[str, Any] = {"name": name, "message": message, "debug_id": new_id().lower()}
        if issue is not None:
            sentence = self.sentence(request, status, issue)
            content["details"] = [
                {"issue": issue} | ({"description": sentence} if sentence else {})
            ]
        return self.json(status, content | (more or {}))

    def sentence(self, request: Request | None, status: int, issue: str) -> str | None:
        """What the spec says beside an issue."""
        if self.specs is None or request is None:
            return "What is wrong, in a sentence."
        return self.specs.issues(request.method, request.url.path, status).get(issue)
