"""Charges that the customer's bank takes back: opened and decided through the test API."""

from collections.abc import Callable
from typing import Any, Final

from app import ids
from app.simulator.books import Row
from app.simulator.events import Events
from app.simulator.ledger import Ledger
from app.simulator.requests import DisputeBody, DisputeUpdate, Refusal

FEE: Final = 1_500
"""What the simulator keeps of a disputed charge, in minor units."""
EVIDENCE_MS: Final = 7 * 86_400_000
ENDED: Final = frozenset({"won", "lost", "closed"})


class Disputes:
    """Takes the money when a dispute opens, and gives it back unless it is lost."""

    def __init__(self, ledger: Ledger, events: Events, now_ms: Callable[[], int]) -> None:
        self._ledger = ledger
        self._events = events
        self._now_ms = now_ms

    def open(self, body: DisputeBody) -> dict[str, Any]:
        """A dispute of a charge that moved money. Raises Refusal."""
        found = self._ledger.by_id("charge", body.charge)
        if not found or found[0]["status"] != "succeeded":
            raise Refusal(404, "charge_not_found", "No such charge, or it moved nothing.", "charge")
        charge, now = found[0], self._now_ms()
        amount = body.amount or charge["amount"]
        if amount > charge["amount"]:
            raise Refusal(400, "amount_too_large", "More than the charge was.", "amount")
        row = {
            "id": ids.show("dp", ids.new_id()),
            "charge": body.charge,
            "status": "needs_response",
            "amount": amount,
            "currency": charge["currency"],
            "withdrawn": amount,
            "fee": FEE,
            "reason": body.reason,
            "due_by": now + EVIDENCE_MS,
            "created_at": now,
            "changed_at": now,
        }
        self._ledger.insert("disputes", row)
        self._events.tell("dispute.opened", show(row))
        return show(row)

    def update(self, dispute_id: str, body: DisputeUpdate) -> dict[str, Any]:
        """What becomes of it. Raises Refusal."""
        row = self._ledger.one("disputes", dispute_id)
        if row is None:
            raise Refusal(404, "not_found", "No such dispute.")
        if row["status"] in ENDED:
            raise Refusal(409, "dispute_is_over", f"The dispute is {row['status']}.")
        withdrawn = 0 if body.status in {"won", "closed"} else row["withdrawn"]
        changes = {"status": body.status, "withdrawn": withdrawn, "changed_at": self._now_ms()}
        self._ledger.change("disputes", dispute_id, **changes)
        self._events.tell(f"dispute.{body.status}", show(row | changes))
        return show(row | changes)

    def one(self, dispute_id: str) -> dict[str, Any]:
        """A dispute as it stands. Raises Refusal."""
        row = self._ledger.one("disputes", dispute_id)
        if row is None:
            raise Refusal(404, "not_found", "No such dispute.")
        return show(row)

    def changed_between(self, start_ms: int, end_ms: int, after: int, limit: int) -> list[Row]:
        """Rows of disputes opened or changed in the window, from behind `after`."""
        return self._ledger.read(
            "SELECT * FROM disputes WHERE seq > ?1 AND (created_at >= ?2 AND created_at < ?3"
            " OR changed_at >= ?2 AND changed_at < ?3) ORDER BY seq LIMIT ?4",
            (after, start_ms, end_ms, limit),
        )


def show(row: Row) -> dict[str, Any]:
    """A dispute as the API shows it."""
    names = ("id", "charge", "status", "amount", "currency", "withdrawn", "fee", "reason")
    times = ("due_by", "created_at", "changed_at")
    return {"object": "dispute"} | {name: row[name] for name in (*names, *times)}
