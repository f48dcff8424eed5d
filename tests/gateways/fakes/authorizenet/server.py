"""The fake over HTTP: the one address of the API, judged by the oracle on the way in and out.

Beside it, `/control` is for tests: tokens, settlement, time, faults, and the books as they are.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.gateways.fakes.authorizenet.answering import messages
from tests.gateways.fakes.authorizenet.ledger import Card, Ledger, Transaction
from tests.gateways.fakes.authorizenet.notices import Notices
from tests.gateways.fakes.authorizenet.reporting import Reports
from tests.gateways.fakes.authorizenet.secrets import KEY, LOGIN, SIGNATURE_KEY
from tests.gateways.fakes.authorizenet.transacting import Transactions
from tests.gateways.fakes.authorizenet.vaulting import Vault
from tests.gateways.oracles import authorizenet as oracle

BOM = b"\xef\xbb\xbf"
HANG_SECONDS = 120
BEFORE = {"timeout_before_effect", "error_500_before", "error_429", "late_effect", "code_before"}
MOVES = {"charge", "refund", "capture", "void", "setup", "customer", "detach"}
ANSWERS = {"getTransactionListForCustomerRequest": "getTransactionListResponse"}
"""Where an answer is not called like its request."""
LOOKUPS = {
    "getTransactionDetailsRequest",
    "getUnsettledTransactionListRequest",
    "getTransactionListRequest",
    "getTransactionListForCustomerRequest",
    "getSettledBatchListRequest",
    "getCustomerProfileRequest",
    "getCustomerPaymentProfileRequest",
}


class Gateway:
    """The whole gateway: one account."""

    def __init__(self) -> None:
        self._late: set[asyncio.Task[None]] = set()
        self.do_reset()

    def do_reset(self) -> None:
        """Everything as on the first day."""
        self.ledger = Ledger()
        self.notices = Notices(self.ledger, SIGNATURE_KEY)
        self.transactions = Transactions(self.ledger, self.notices)
        self.reports = Reports(self.ledger)
        self.vault = Vault(self.ledger, self.notices)
        self.faults: list[dict[str, Any]] = []
        self.refused: list[list[str]] = []
        self.flaws: list[list[str]] = []
        self.requests: list[dict[str, Any]] = []
        self.may_report = True
        self.in_test_mode = False
        self.verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "authenticateTestRequest": lambda _: messages(),
            "createTransactionRequest": self.transactions.create,
            "updateHeldTransactionRequest": self.transactions.decide,
            "createCustomerProfileRequest": self.vault.create_customer,
            "getCustomerProfileRequest": self.vault.customer,
            "getCustomerPaymentProfileRequest": self.vault.method,
            "deleteCustomerPaymentProfileRequest": self.vault.delete_method,
            "getTransactionDetailsRequest": self.reports.details,
            "getUnsettledTransactionListRequest": self.reports.unsettled,
            "getTransactionListRequest": self.reports.of_batch,
            "getTransactionListForCustomerRequest": self.reports.of_customer,
            "getSettledBatchListRequest": self.reports.batches,
        }

    async def api(self, request: Request) -> Response:
        asked = json.loads(await request.body())
        self.requests.append(asked)
        if refusals := oracle.refusals(asked):
            self.refused.append(refusals)
            return self._say("ErrorResponse", messages("E00003", refusals[0]))
        ((name, body),) = asked.items()
        if body["merchantAuthentication"] != {"name": LOGIN, "transactionKey": KEY}:
            return self._say("ErrorResponse", messages("E00007"))
        if not self.may_report and name in LOOKUPS and "Profile" not in name:
            return self._say("ErrorResponse", messages("E00011"))
        fault, delay_ms = self._strike(operation_of(name, body))
        await asyncio.sleep(delay_ms / 1000)
        kind = fault["kind"] if fault else ""
        if kind in BEFORE:
            if kind == "late_effect":
                task = asyncio.create_task(self._later(name, body, fault["delay_ms"]))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
            return await self._spoiled(request, kind, fault, Response())
        answer = self._execute(name, body, twice=kind == "duplicate")
        if kind == "without_id":
            del answer["transactionResponse"]["transId"]
        response = self._say(ANSWERS.get(name, name.replace("Request", "Response")), answer)
        return await self._spoiled(request, kind, fault or {}, response)

    def _execute(self, name: str, body: dict[str, Any], *, twice: bool = False) -> dict[str, Any]:
        if name == "createTransactionRequest":
            if self.in_test_mode:
                return approved_in_test_mode(body)
            return self.transactions.create(body, twice=twice)
        return self.verbs[name](body)

    async def _later(self, name: str, body: dict[str, Any], delay_ms: int) -> None:
        await asyncio.sleep(delay_ms / 1000)
        self._execute(name, body)

    def _strike(self, operation: str) -> tuple[dict[str, Any] | None, int]:
        met, delay_ms = None, 0
        for fault in self.faults:
            if operation not in fault.get("operations", MOVES) or fault.get("count") == 0:
                continue
            if met is not None and fault["kind"] != "latency":
                continue
            if fault.get("skip"):
                fault["skip"] -= 1
                continue
            if fault.get("count") is not None:
                fault["count"] -= 1
            if fault["kind"] == "latency":
                delay_ms += fault["delay_ms"]
            else:
                met = fault
        return met, delay_ms

    async def _spoiled(
        self, request: Request, kind: str, fault: dict[str, Any], response: Response
    ) -> Response:
        match kind:
            case "timeout_before_effect" | "timeout_after_effect":
                return await hang(request)
            case "error_500_before" | "error_500_after" | "late_effect":
                return Response("<html>Server Error</html>", 500)
            case "error_429":
                return Response("Too Many Requests", 429, headers={"Retry-After": "1"})
            case "code_before" | "code_after":
                return self._say("ErrorResponse", messages(fault["code"]))
            case "cut_body":
                return CutResponse(response.body, media_type="application/json")
            case _:
                return response

    def _say(self, name: str, answer: dict[str, Any]) -> Response:
        if answer.keys() <= {"messages", "refId"}:
            name = "ErrorResponse"  # JSON has no root to tell them apart
        if flaws := oracle.flaws(name, answer):
            self.flaws.append(flaws)
            return Response(f"The fake would have lied: {flaws}", 501)
        headers = {"Date": format_datetime(self.ledger.now(), usegmt=True)}
        body = BOM + json.dumps(answer).encode()
        return Response(body, media_type="application/json", headers=headers)

    # ── for tests ─────────────────────────────────────────────────────────────────────────────────

    async def control(self, request: Request) -> Response:
        body = json.loads(await request.body() or b"{}")
        return JSONResponse(getattr(self, f"do_{request.path_params['verb']}")(**body))

    def do_live(self) -> str:
        return "ok"

    def do_token(self, behaves: str = "ok", **card: str) -> str:
        return self.ledger.token(Card(behaves, **card))

    def do_method(self, behaves: str = "ok", **card: str) -> list[str]:
        customer = self.ledger.customer(f"seeded{len(self.ledger.customers)}")
        return [customer.id, self.ledger.method(customer, Card(behaves, **card)).id]

    def do_renew(self, customer: str, method: str, **card: str) -> None:
        """What an account updater does to a card."""
        kept = self.ledger.customers[customer].methods[method]
        kept.card = replace(kept.card, **card)
        self.notices.tell_of_method("updated", customer, method)

    def do_settle(self) -> str:
        return self.ledger.settle()

    def do_settings(self, **settings: Any) -> None:
        for name, value in settings.items():
            owner = self.ledger if hasattr(self.ledger, name) else self
            assert hasattr(owner, name), name
            setattr(owner, name, value)

    def do_advance(self, seconds: float) -> None:
        self.ledger.offset += timedelta(seconds=seconds)

    def do_decide(self, id: str, action: str) -> None:
        self.ledger.decide(self.ledger.transactions[id], action)

    def do_end_reviews(self) -> None:
        """What decides itself after a while decides itself now."""
        for held in self.ledger.all():
            if held.decides:
                self.ledger.decide(held, held.decides[1])

    def do_moved(self, reference: str) -> dict[str, Any]:
        return self.ledger.moved(reference)

    def do_books(self, start: str, end: str) -> list[tuple[str, str, int]]:
        window = datetime.fromisoformat(start), datetime.fromisoformat(end)
        return self.ledger.movements(*window)

    def do_expire(self, id: str) -> None:
        self.ledger.transactions[id].status = "expired"

    def do_dispute(self, id: str, status: str) -> None:
        transaction = self.ledger.transactions[id]
        if status == "returned":
            moment = self.ledger.now()
            transaction.returned = {
                "id": self.ledger.new_id(),
                "dateUTC": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
                "dateLocal": f"{moment:%Y-%m-%dT%H:%M:%S}",
                "code": "R03",
                "description": "No account, or unable to locate account.",
            }
        else:
            transaction.status = status

    def do_status(self, id: str, status: str, reason: str = "1") -> None:
        transaction = self.ledger.transactions[id]
        transaction.status, transaction.reason = status, reason

    def do_rename(self, id: str, invoice: str) -> None:
        self.ledger.transactions[id].invoice = invoice

    def do_seed(self, count: int, *, customer: str = "", is_settled: bool = False) -> None:
        """Other customers' business."""
        for number in range(count):
            seeded = Transaction(
                id=self.ledger.new_id(),
                type="authCaptureTransaction",
                status="capturedPendingSettlement",
                amount=Decimal("5.00"),
                settling=Decimal("5.00"),
                submitted_at=self.ledger.now(),
                invoice=f"seed{number}",
                customer=customer,
                method="1" if customer else "",
                card=Card("ok"),
            )
            self.ledger.transactions[seeded.id] = seeded
        if is_settled:
            self.ledger.settle()

    def do_faults(self, faults: list[dict[str, Any]]) -> None:
        self.faults = faults

    def do_charged(self, reference: str) -> str:
        return str(self.ledger.charged(reference))

    def do_refunded(self, reference: str) -> str:
        return str(self.ledger.refunded(reference))

    def do_transactions(self, invoice: str) -> list[dict[str, Any]]:
        return [
            {"id": t.id, "type": t.type, "status": t.status, "amount": str(t.amount)}
            for t in self.ledger.all()
            if t.invoice == invoice
        ]

    def do_deliveries(self) -> list[dict[str, Any]]:
        told, self.notices.deliveries = self.notices.deliveries, []
        return told

    def do_requests(self) -> list[dict[str, Any]]:
        """What was asked since the last time, credentials and all."""
        asked, self.requests = self.requests, []
        return asked

    def do_complaints(self) -> dict[str, list[list[str]]]:
        """What the oracle had to say since the last time."""
        said = {"refused": self.refused, "flaws": self.flaws}
        self.refused, self.flaws = [], []
        return said

    def do_judge(self, request: dict[str, Any]) -> list[str]:
        return oracle.refusals(request)

    def do_judge_answer(self, name: str, answer: dict[str, Any]) -> list[str]:
        return oracle.flaws(name, answer)


class CutResponse(Response):
    """Promises the whole body, sends half of it, and lets the server close the connection."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        head = {"type": "http.response.start", "status": self.status_code}
        await send(head | {"headers": self.raw_headers})
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


def operation_of(name: str, body: dict[str, Any]) -> str:
    """What a request wants, as far as faults care. A void that has a name of its own is a refund
    to whoever asked for it.
    """
    if name in LOOKUPS:
        return "lookup"
    if name == "createTransactionRequest":
        asked = body["transactionRequest"]
        match asked["transactionType"]:
            case "refundTransaction":
                return "refund"
            case "voidTransaction":
                return "void" if body.get("refId") == asked["refTransId"] else "refund"
            case "priorAuthCaptureTransaction":
                return "capture"
            case _:
                return "charge"
    if name == "createCustomerProfileRequest":
        return "setup" if "paymentProfiles" in body["profile"] else "customer"
    return {
        "updateHeldTransactionRequest": "void",
        "deleteCustomerPaymentProfileRequest": "detach",
    }.get(name, "other")


def approved_in_test_mode(body: dict[str, Any]) -> dict[str, Any]:
    """An account in test mode approves everything, and nothing happens."""
    said = {
        "responseCode": "1",
        "authCode": "000000",
        "avsResultCode": "P",
        "transId": "0",
        "testRequest": "1",
        "accountNumber": "XXXX1111",
        "accountType": "Visa",
        "messages": [{"code": "1", "description": "(TESTMODE) This transaction is approved."}],
    }
    return {"transactionResponse": said, "refId": body.get("refId", "")} | messages()


async def hang(request: Request) -> Response:
    """Say nothing until the caller goes away."""
    try:
        async with asyncio.timeout(HANG_SECONDS):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass
    return Response(status_code=504)


def serve(port: int) -> None:
    gateway = Gateway()
    application = Starlette(
        routes=[
            Route("/xml/v1/request.api", gateway.api, methods=["POST"]),
            Route("/control/{verb}", gateway.control, methods=["POST"]),
        ]
    )
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
