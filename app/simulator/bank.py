"""What becomes of a charge or a refund: decided from the token, entered in the ledger, answered."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import orjson

from app import ids
from app.clock import Clock
from app.simulator.behaviour import Behaviour
from app.simulator.books import Row
from app.simulator.events import Events
from app.simulator.ledger import Ledger, Stored
from app.simulator.requests import (
    CaptureBody,
    ChargeBody,
    ConfirmBody,
    OrderBody,
    RefundBody,
    Refusal,
    ReturnBody,
)
from app.simulator.vault import Vault

PENDING_MS: Final = 500
"""How long a pending charge or refund takes to settle."""
AUTHORIZED_MS: Final = 7 * 86_400_000
"""How long money is held."""
FEE_BASIS_POINTS: Final = 100
"""What the simulator keeps of a charge: 1 %, rounded down."""
FUZZY_WINDOW_MS: Final = 120_000
"""In a window this long a charge that looks like another is refused, where keys are not known."""
CREATED: Final = 201
DECLINED: Final = 402

Execution: TypeAlias = tuple[int, bytes]


class Repeating(StrEnum):
    """What the simulator makes of a request that comes again: it can be any kind of gateway."""

    NATIVE_KEY = "native_key"
    """The key's first answer, for ever."""
    PER_ORDER = "per_order"
    """Charges name an order, on which at most one succeeds; keys count for everything else."""
    FUZZY_WINDOW = "fuzzy_window"
    """Keys mean nothing; a charge like one of the last two minutes is refused."""
    NONE = "none"
    """Keys mean nothing: whatever comes is done."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What kind of gateway the caller wants this to be."""

    repeating: Repeating = Repeating.NATIVE_KEY
    lead_time_ms: int = 0
    """For so long at least a charge is pending, after it was announced to the customer."""


USUAL: Final = Terms()


@dataclass(frozen=True, slots=True)
class Twist:
    """What a fault changes about an execution."""

    decline_code: str | None = None
    copies: int = 1


PLAIN: Final = Twist()


class Bank:
    """Executes each idempotency key at most once, against one ledger."""

    def __init__(
        self, ledger: Ledger, vault: Vault, events: Events, clock: Clock, url: str
    ) -> None:
        self._ledger = ledger
        self._vault = vault
        self._events = events
        self._clock = clock
        self._url = url
        self.set_at_ms: int | None = None
        """What time a test says it is."""

    def now_ms(self) -> int:
        """The present, in milliseconds of the Unix epoch."""
        if self.set_at_ms is not None:
            return self.set_at_ms
        return int(self._clock.now().timestamp() * 1000)

    def once(
        self, key: str, request: bytes, execute: Callable[[], Execution]
    ) -> tuple[Stored, bool]:
        """The key's answer, executing it if it has none yet; and whether it is a replay."""
        fingerprint = blake2b(request, digest_size=16).digest()
        stored = self._ledger.answer(key)
        if stored is not None:
            if stored.fingerprint != fingerprint:
                message = "This Idempotency-Key was used for another request."
                raise Refusal(422, "idempotency_key_reused", message)
            return stored, True
        answer = Stored(fingerprint, *execute())
        self._ledger.remember(key, answer)
        return answer, False

    def is_answered(self, key: str) -> bool:
        """Whether the key was executed before."""
        return self._ledger.answer(key) is not None

    def settle_due(self) -> None:
        """Bring to their end what was pending for long enough."""
        for row in self._ledger.settle_due(self.now_ms()):
            self._tell(row)

    def order(self, body: OrderBody) -> Execution:
        """A new order: at most one charge on it ever succeeds."""
        row = {"id": ids.show("ord", ids.new_id()), **body.model_dump()}
        row["created_at"] = self.now_ms()
        self._ledger.insert("orders", row)
        return CREATED, orjson.dumps({"object": "order", **row})

    def charge(
        self,
        body: ChargeBody,
        key: str,
        twist: Twist = PLAIN,
        terms: Terms = USUAL,
    ) -> Execution:
        """Execute a charge: 201, or 402 when it is declined. Raises Refusal."""
        now = self.now_ms()
        row = body.model_dump(exclude={"capture", "order", "not_before"})
        row |= {"kind": "charge", "idempotency_key": key, "created_at": now}
        row["for_order"] = body.order
        self._check_repetition(body, row, terms.repeating, now)
        behaviour = self._vault.behaviour(body.payment_method)
        row |= self._ending(behaviour, body, twist, now)
        if terms.lead_time_ms:
            row |= announced(row, max(now + terms.lead_time_ms, body.not_before or 0))
        if row["status"] == "authorized":
            row["authorized"] = body.amount
        rows = [row | {"id": ids.show("ch", ids.new_id())} for _ in range(twist.copies)]
        self._ledger.post(rows)
        for each in rows:
            self._tell(each)
        status = DECLINED if row["status"] == "declined" else CREATED
        return status, orjson.dumps(self.show_charge(rows[0], refunded=0))

    def _check_repetition(
        self, body: ChargeBody, row: Row, repeating: Repeating, now_ms: int
    ) -> None:
        if repeating is Repeating.PER_ORDER:
            order = self._ledger.one("orders", body.order or "")
            if order is None:
                raise Refusal(400, "order_not_found", "No such order.", "order")
            if (order["amount"], order["currency"]) != (body.amount, body.currency):
                raise Refusal(400, "order_mismatch", "The order is of another amount.", "amount")
            if self._ledger.of_order(order["id"]):
                raise Refusal(400, "order_already_paid", "There is a charge on it.", "order")
        if repeating is Repeating.FUZZY_WINDOW and self._ledger.lookalikes(
            row, now_ms - FUZZY_WINDOW_MS
        ):
            raise Refusal(400, "duplicate_transaction", "It looks like an earlier charge.")

    def _ending(
        self, behaviour: Behaviour, body: ChargeBody, twist: Twist, now_ms: int
    ) -> dict[str, Any]:
        code = twist.decline_code or behaviour.decline_code
        if not twist.decline_code and behaviour.declines is not None:
            counted = self._ledger.count_decline(body.payment_method)
            code = None if counted >= behaviour.declines else code
        if code is not None:
            return {"status": "declined", "decline_code": code}
        if behaviour.requires_action:
            return {"status": "requires_action", "client_secret": secrets.token_urlsafe(18)}
        if behaviour.is_held or not body.capture:
            return {"status": "authorized"}
        if behaviour.settles_to is not None:
            return pending(behaviour.settles_to, now_ms)
        return {"status": "succeeded"}

    def confirm(self, charge_id: str, body: ConfirmBody) -> dict[str, Any]:
        """The customer does what a charge waits for, or fails to. Raises Refusal."""
        found = self._ledger.by_id("charge", charge_id)
        secret = (found[0]["client_secret"] if found else None) or ""
        if not secrets.compare_digest(secret, body.client_secret) or not secret:
            raise Refusal(404, "not_found", "No such charge, or another client secret.")
        row = found[0]
        if row["status"] != "requires_action":
            raise Refusal(409, "charge_is_over", f"The charge is {row['status']}.")
        code = body.decline_code
        row |= {"status": "declined" if code else "succeeded", "decline_code": code}
        self._ledger.change("transactions", charge_id, status=row["status"], decline_code=code)
        self._tell(row)
        return self.show_charge(row, refunded=0)

    def capture(self, charge_id: str, body: CaptureBody) -> Execution:
        """Take what is held, or a part of it; the rest is given up. Raises Refusal."""
        row = self._held(charge_id, {"authorized"})
        if row["currency"] != body.currency:
            raise Refusal(400, "currency_mismatch", f"It is in {row['currency']}.", "currency")
        if body.amount > row["amount"]:
            raise Refusal(400, "capture_exceeds_authorization", "That much is not held.", "amount")
        row |= {"status": "succeeded", "amount": body.amount}
        self._ledger.change("transactions", charge_id, status="succeeded", amount=body.amount)
        self._tell(row)
        return 200, orjson.dumps(self.show_charge(row, refunded=0))

    def void(self, charge_id: str) -> Execution:
        """Give up what is held or waits for the customer. Raises Refusal."""
        row = self._held(charge_id, {"authorized", "requires_action"})
        row |= {"status": "voided"}
        self._ledger.change("transactions", charge_id, status="voided")
        self._tell(row)
        return 200, orjson.dumps(self.show_charge(row, refunded=0))

    def _held(self, charge_id: str, statuses: set[str]) -> Row:
        found = self._ledger.by_id("charge", charge_id)
        if not found:
            raise Refusal(404, "charge_not_found", "No such charge.", "charge")
        if found[0]["status"] not in statuses:
            code = f"charge_is_{found[0]['status']}"
            raise Refusal(400, code, f"The charge is {found[0]['status']}.", "charge")
        return found[0]

    def refund(self, body: RefundBody, key: str, twist: Twist = PLAIN) -> Execution:
        """Execute a refund: 201, or 402 when it fails. Raises Refusal beyond what was captured."""
        now = self.now_ms()
        charge = self._refundable(body)
        row = body.model_dump() | {"kind": "refund", "idempotency_key": key, "created_at": now}
        ending = self._vault.behaviour(charge["payment_method"]).refund
        if ending == "failed" or twist.decline_code:
            row |= {"status": "failed", "decline_code": twist.decline_code or "generic"}
        elif ending == "pending":
            row |= pending("succeeded", now)
        else:
            row["status"] = "succeeded"
        rows = [row | {"id": ids.show("rf", ids.new_id())} for _ in range(twist.copies)]
        self._ledger.post(rows)
        for each in rows:
            self._tell(each)
        status = DECLINED if row["status"] == "failed" else CREATED
        return status, orjson.dumps(show_refund(rows[0]))

    def send_back(self, refund_id: str, body: ReturnBody) -> dict[str, Any]:
        """The customer's bank sends a refund back that had succeeded. Raises Refusal."""
        found = self._ledger.by_id("refund", refund_id)
        if not found:
            raise Refusal(404, "not_found", "No such refund.")
        row = found[0]
        if row["status"] != "succeeded":
            raise Refusal(409, "refund_is_not_out", f"The refund is {row['status']}.")
        changes = {"status": "failed", "decline_code": body.failure_code}
        self._ledger.change("transactions", refund_id, **changes)
        row |= changes
        self._tell(row)
        return show_refund(row)

    def _refundable(self, body: RefundBody) -> dict[str, Any]:
        self.settle_due()
        found = self._ledger.by_id("charge", body.charge)
        if not found:
            raise Refusal(404, "charge_not_found", "No such charge.", "charge")
        charge = found[0]
        if charge["status"] != "succeeded":
            raise Refusal(400, "charge_not_refundable", "The charge moved no money.", "charge")
        if charge["currency"] != body.currency:
            message = f"The charge is in {charge['currency']}."
            raise Refusal(400, "currency_mismatch", message, "currency")
        left = charge["amount"] - self._ledger.refunded(body.charge)
        if body.amount > left:
            message = f"Only {left} of this charge can still be refunded."
            raise Refusal(400, "refund_exceeds_charge", message, "amount")
        return charge

    def found(self, rows: list[Row]) -> list[dict[str, Any]]:
        """Ledger rows as the API shows them."""
        return [self._show(row, self._ledger.refunded(row["id"])) for row in rows]

    def _tell(self, row: Row) -> None:
        shown = self._show(row, 0)
        self._events.tell(f"{row['kind']}.{row['status']}", shown | {"client_secret": None})

    def _show(self, row: Row, refunded: int) -> dict[str, Any]:
        return show_refund(row) if row["kind"] == "refund" else self.show_charge(row, refunded)

    def show_charge(self, row: dict[str, Any], refunded: int) -> dict[str, Any]:
        """A charge as the API shows it."""
        status = row["status"]
        is_named = status in {"succeeded", "authorized"}
        waits = status == "requires_action"
        secret = row.get("client_secret") if waits else None
        return {
            "object": "charge",
            "id": row["id"],
            "reference": row["reference"],
            "status": status,
            "amount": row["amount"],
            "amount_authorized": row.get("authorized"),
            "currency": row["currency"],
            "amount_refunded": refunded,
            "fee": row["amount"] * FEE_BASIS_POINTS // 10_000 if status == "succeeded" else None,
            "payment_method": row["payment_method"],
            "customer": row["customer"],
            "invoice_number": row["invoice_number"],
            "network_transaction_id": f"nti{row['id'][-12:]}" if is_named else None,
            "decline_code": None if status == "pending" else row.get("decline_code"),
            "action_url": f"{self._url}/actions/{row['id']}?secret={secret}" if waits else None,
            "client_secret": secret,
            "expires_at": row["created_at"] + AUTHORIZED_MS if status == "authorized" else None,
            "expected_by": expected_by(row),
            "created_at": row["created_at"],
        }


def expected_by(row: dict[str, Any]) -> int | None:
    """When a pending charge is decided, where that takes longer than a moment."""
    at_ms: int | None = row.get("settles_at")
    if row["status"] != "pending" or at_ms is None:
        return None
    return at_ms if at_ms - row["created_at"] > PENDING_MS else None


def announced(row: Row, at_ms: int) -> dict[str, Any]:
    """A charge that is told to the customer first: what would become of it now becomes of it at
    `at_ms`.
    """
    if row["status"] not in {"succeeded", "declined"}:
        return {}
    return {
        "status": "pending",
        "settles_to": row["status"],
        "settles_at": at_ms,
    }


def pending(settles_to: str, now_ms: int) -> dict[str, Any]:
    """Pending now, `settles_to` in a moment."""
    return {"status": "pending", "settles_to": settles_to, "settles_at": now_ms + PENDING_MS}


def show_refund(row: dict[str, Any]) -> dict[str, Any]:
    """A refund as the API shows it."""
    names = ("id", "charge", "reference", "status", "amount", "currency", "created_at")
    return (
        {"object": "refund"}
        | {name: row[name] for name in names}
        | {"failure_code": row.get("decline_code")}
    )
