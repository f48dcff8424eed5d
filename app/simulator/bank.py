"""What becomes of a charge or a refund: decided from the token, entered in the ledger, answered."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import orjson

from app import ids
from app.clock import Clock
from app.simulator.behaviour import UNKNOWN_TOKEN, Behaviour, magic
from app.simulator.ledger import Ledger, Stored
from app.simulator.requests import ChargeBody, PaymentMethodBody, RefundBody, Refusal

PENDING_MS: Final = 500
"""How long a pending charge or refund takes to settle."""
FEE_BASIS_POINTS: Final = 100
"""What the simulator keeps of a charge: 1 %, rounded down."""
CREATED: Final = 201
DECLINED: Final = 402

Execution: TypeAlias = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Twist:
    """What a fault changes about an execution."""

    decline_code: str | None = None
    copies: int = 1


PLAIN: Final = Twist()


class Bank:
    """Executes each idempotency key at most once, against one ledger."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def now_ms(self) -> int:
        """The present, in milliseconds of the Unix epoch."""
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

    def behaviour(self, token: str) -> Behaviour:
        """What the token does: magic, from the vault, or unknown and therefore declined."""
        known = magic(token)
        if known is not None:
            return known
        vaulted = self._ledger.payment_method(token)
        return (vaulted and magic(vaulted["behaves_like"])) or UNKNOWN_TOKEN

    def charge(self, body: ChargeBody, key: str, twist: Twist = PLAIN) -> Execution:
        """Execute a charge: 201, or 402 when it is declined."""
        now = self.now_ms()
        behaviour = self.behaviour(body.payment_method)
        row = body.model_dump() | {"kind": "charge", "idempotency_key": key, "created_at": now}
        row |= self._ending(behaviour, body.payment_method, twist, now)
        rows = [row | {"id": ids.show("ch", ids.new_id())} for _ in range(twist.copies)]
        self._ledger.post(rows)
        status = DECLINED if row["status"] == "declined" else CREATED
        return status, orjson.dumps(show_charge(rows[0], refunded=0))

    def _ending(
        self, behaviour: Behaviour, token: str, twist: Twist, now_ms: int
    ) -> dict[str, Any]:
        code = twist.decline_code or behaviour.decline_code
        if not twist.decline_code and behaviour.declines is not None:
            counted = self._ledger.count_decline(token)
            code = None if counted >= behaviour.declines else code
        if code is not None:
            return {"status": "declined", "decline_code": code}
        if behaviour.requires_action:
            return {"status": "requires_action"}
        if behaviour.settles_to is not None:
            return pending(behaviour.settles_to, now_ms)
        return {"status": "succeeded"}

    def refund(self, body: RefundBody, key: str, twist: Twist = PLAIN) -> Execution:
        """Execute a refund: 201, or 402 when it fails. Raises Refusal beyond what was captured."""
        now = self.now_ms()
        charge = self._refundable(body, now)
        row = body.model_dump() | {"kind": "refund", "idempotency_key": key, "created_at": now}
        ending = self.behaviour(charge["payment_method"]).refund
        if ending == "failed" or twist.decline_code:
            row |= {"status": "failed", "decline_code": twist.decline_code or "generic"}
        elif ending == "pending":
            row |= pending("succeeded", now)
        else:
            row["status"] = "succeeded"
        rows = [row | {"id": ids.show("rf", ids.new_id())} for _ in range(twist.copies)]
        self._ledger.post(rows)
        status = DECLINED if row["status"] == "failed" else CREATED
        return status, orjson.dumps(show_refund(rows[0]))

    def _refundable(self, body: RefundBody, now_ms: int) -> dict[str, Any]:
        self._ledger.settle_due(now_ms)
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

    def vault(self, body: PaymentMethodBody) -> dict[str, Any]:
        """A new token that behaves like a magic one."""
        if magic(body.behaves_like) is None:
            message = "Not a magic token; docs/simulator.md has them all."
            raise Refusal(400, "unknown_behaviour", message, "behaves_like")
        token = ids.show("pm", ids.new_id())
        self._ledger.vault(token, body.behaves_like, body.customer, self.now_ms())
        return {"object": "payment_method", "id": token} | body.model_dump()

    def found(self, kind: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Ledger rows as the API shows them."""
        if kind == "refund":
            return [show_refund(row) for row in rows]
        return [show_charge(row, self._ledger.refunded(row["id"])) for row in rows]


def pending(settles_to: str, now_ms: int) -> dict[str, Any]:
    """Pending now, `settles_to` in a moment."""
    return {"status": "pending", "settles_to": settles_to, "settles_at": now_ms + PENDING_MS}


def show_charge(row: dict[str, Any], refunded: int) -> dict[str, Any]:
    """A charge as the API shows it."""
    status = row["status"]
    moved = status == "succeeded"
    action = f"https://simulator.invalid/actions/{row['id']}"
    return {
        "object": "charge",
        "id": row["id"],
        "reference": row["reference"],
        "status": status,
        "amount": row["amount"],
        "currency": row["currency"],
        "amount_refunded": refunded,
        "fee": row["amount"] * FEE_BASIS_POINTS // 10_000 if moved else None,
        "payment_method": row["payment_method"],
        "customer": row["customer"],
        "invoice_number": row["invoice_number"],
        "network_transaction_id": f"nti{row['id'][-12:]}" if moved else None,
        "decline_code": row.get("decline_code"),
        "action_url": action if status == "requires_action" else None,
        "created_at": row["created_at"],
    }


def show_refund(row: dict[str, Any]) -> dict[str, Any]:
    """A refund as the API shows it."""
    names = ("id", "charge", "reference", "status", "amount", "currency", "created_at")
    return (
        {"object": "refund"}
        | {name: row[name] for name in names}
        | {"failure_code": row.get("decline_code")}
    )
