"""Customers, payment methods and how they come to be kept: the part that no money moves in."""

import secrets
from collections.abc import Callable
from typing import Any, Final

import orjson

from app import ids
from app.simulator.behaviour import DECLINE_CODES, UNKNOWN_TOKEN, Behaviour, magic
from app.simulator.books import Row
from app.simulator.events import Events
from app.simulator.ledger import Ledger
from app.simulator.requests import (
    ConfirmBody,
    CustomerBody,
    PaymentMethodBody,
    Refusal,
    SetupBody,
)

SETUP_MS: Final = 86_400_000
"""How long a set-up waits for the customer."""
CARD: Final = {"brand": "visa", "last_four": "4242", "expiry_month": 12, "expiry_year": 2034}
"""What the simulator says of every payment method."""
CREATED: Final = 201


class Vault:
    """Keeps tokens, never cards."""

    def __init__(self, ledger: Ledger, events: Events, now_ms: Callable[[], int]) -> None:
        self._ledger = ledger
        self._events = events
        self._now_ms = now_ms

    def behaviour(self, token: str) -> Behaviour:
        """What the token does: magic, from the vault, or unknown and therefore declined."""
        known = magic(token)
        if known is not None:
            return known
        kept = self._ledger.one("payment_methods", token)
        if kept is None or kept["detached_at"] is not None:
            return UNKNOWN_TOKEN
        return magic(kept["behaves_like"]) or UNKNOWN_TOKEN

    def create_customer(self, body: CustomerBody) -> tuple[int, bytes]:
        """The customer with this reference, made if there is none."""
        known = self._ledger.find("customers", reference=body.reference)
        if known:
            return CREATED, orjson.dumps(show_customer(known[0]))
        row = {"id": ids.show("cus", ids.new_id()), **body.model_dump()}
        row["created_at"] = self._now_ms()
        self._ledger.insert("customers", row)
        return CREATED, orjson.dumps(show_customer(row))

    def create_method(self, body: PaymentMethodBody) -> dict[str, Any]:
        """A new token that behaves like a magic one."""
        return show_method(self._keep(body.behaves_like, body.customer))

    def _keep(self, behaves_like: str, customer: str | None) -> Row:
        if magic(behaves_like) is None:
            message = "Not a magic token; docs/simulator.md has them all."
            raise Refusal(400, "unknown_behaviour", message, "behaves_like")
        row = {
            "id": ids.show("pm", ids.new_id()),
            "behaves_like": behaves_like,
            "customer": customer,
            "created_at": self._now_ms(),
        }
        self._ledger.insert("payment_methods", row)
        return row | {"detached_at": None}

    def method(self, token: str) -> dict[str, Any]:
        """A payment method as it is kept. Raises Refusal."""
        kept = self._ledger.one("payment_methods", token)
        if kept is not None:
            return show_method(kept)
        if magic(token) is not None:
            return show_method({"id": token, "behaves_like": token})
        raise Refusal(404, "not_found", "No such payment method.")

    def detach(self, token: str) -> tuple[int, bytes]:
        """Nothing charges this token any more. Raises Refusal."""
        kept = self._ledger.one("payment_methods", token)
        if kept is None or kept["detached_at"] is not None:
            raise Refusal(404, "not_found", "No such payment method.")
        self._ledger.change("payment_methods", token, detached_at=self._now_ms())
        self._events.tell("payment_method.detached", show_method(kept))
        return 200, orjson.dumps(show_method(kept) | {"is_usable": False})

    def start_setup(self, body: SetupBody) -> tuple[int, bytes]:
        """A set-up that waits for its customer. Raises Refusal."""
        if self._ledger.one("customers", body.customer) is None:
            raise Refusal(404, "customer_not_found", "No such customer.", "customer")
        now = self._now_ms()
        setup_id = ids.show("set", ids.new_id())
        row = {
            "id": setup_id,
            **body.model_dump(),
            "status": "requires_action",
            "client_secret": f"{setup_id}_secret_{secrets.token_urlsafe(18)}",
            "created_at": now,
            "expires_at": now + SETUP_MS,
        }
        self._ledger.insert("setups", row)
        return CREATED, orjson.dumps(self.show_setup(row))

    def setup(self, setup_id: str) -> dict[str, Any]:
        """A set-up as it is now. Raises Refusal."""
        row = self._ledger.one("setups", setup_id)
        if row is None:
            raise Refusal(404, "not_found", "No such set-up.")
        if row["status"] == "requires_action" and row["expires_at"] <= self._now_ms():
            row |= {"status": "failed", "decline_code": "authentication_required"}
        return self.show_setup(row)

    def confirm_setup(self, setup_id: str, body: ConfirmBody) -> dict[str, Any]:
        """The customer enters a payment method, or fails to. Raises Refusal."""
        row = self._ledger.one("setups", setup_id)
        if row is None or not secrets.compare_digest(row["client_secret"], body.client_secret):
            raise Refusal(404, "not_found", "No such set-up, or another client secret.")
        if self.setup(setup_id)["status"] != "requires_action":
            raise Refusal(409, "setup_is_over", "The set-up is over.")
        if body.decline_code is None:
            token = self._keep(body.behaves_like, row["customer"])["id"]
            changes = {"status": "succeeded", "payment_method": token}
        else:
            if body.decline_code not in DECLINE_CODES:
                raise Refusal(400, "invalid_request", "No such decline code.", "decline_code")
            changes = {"status": "failed", "decline_code": body.decline_code}
        self._ledger.change("setups", setup_id, **changes)
        shown = self.show_setup(row | changes)
        self._events.tell(f"setup.{changes['status']}", shown | {"client_secret": None})
        return shown

    def show_setup(self, row: Row) -> dict[str, Any]:
        """A set-up as the API shows it."""
        token = row.get("payment_method")
        names = ("id", "reference", "customer", "status", "client_secret", "expires_at")
        return {
            "object": "setup",
            **{name: row[name] for name in names},
            "payment_method": self.method(token) if token else None,
            "decline_code": row.get("decline_code"),
        }


def show_customer(row: Row) -> dict[str, Any]:
    """A customer as the API shows it."""
    return {"object": "customer", "id": row["id"], "reference": row["reference"]}


def show_method(row: Row) -> dict[str, Any]:
    """A payment method as the API shows it."""
    return {
        "object": "payment_method",
        "id": row["id"],
        "behaves_like": row["behaves_like"],
        "customer": row.get("customer"),
        "type": "card",
        **CARD,
        "network_transaction_id": f"nti{row['id'][-12:]}",
        "is_usable": row.get("detached_at") is None,
    }
