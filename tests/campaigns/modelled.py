"""Subscriptions that live in the real service and, beside it, in a second simple reckoning.

What the books say a subscription was billed is held against `tests/fair.py` after everything that
is done to it. What the model does not know (a void invoice, an end for want of payment) takes a
subscription out of it; the audit still sees it.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

from app.domain.policy import CancelCredit, PauseUnused, Settlement, When
from app.domain.subscription import PausedInvoices
from app.services.changes import ChangedItem
from tests.fair import Fair, Priced
from tests.world import World

STATES = {
    "scheduled": ("scheduled",),
    "trial": ("trialing",),
    "running": ("active", "past_due", "unpaid", "incomplete"),
    "paused": ("paused",),
    "ended": ("canceled",),
}
TOTALS = """
SELECT s.status, s.ended_at, s.period_start, s.period_end,
       EXISTS (SELECT FROM dunning_runs d
                 JOIN invoices i ON i.merchant_id = d.merchant_id AND i.id = d.invoice_id
                WHERE i.subscription_id = s.id AND d.final_action = 'cancel'
                  AND d.ended_at = s.ended_at) AS is_given_up,
       (SELECT coalesce(sum(i.subtotal - i.discount_total), 0) FROM invoices i
         WHERE i.subscription_id = s.id AND i.status <> 'void')
       - (SELECT coalesce(sum(c.subtotal - c.discount_total), 0) FROM credit_notes c
            JOIN invoices i ON i.merchant_id = c.merchant_id AND i.id = c.invoice_id
           WHERE i.subscription_id = s.id AND c.status <> 'void') AS billed,
       (SELECT count(*) FROM invoice_lines l
          JOIN invoices i ON i.merchant_id = l.merchant_id AND i.id = l.invoice_id
         WHERE i.subscription_id = s.id) AS lines
  FROM subscriptions s WHERE s.id = $1
"""
WAITING = """
SELECT amount, reverses_line_id, discounts FROM pending_items
 WHERE subscription_id = $1 AND invoice_id IS NULL AND deleted_at IS NULL
"""


@dataclass(frozen=True)
class Offer:
    """A price that can be had, as the service knows it and as the model does."""

    id: UUID
    unit: str
    minor: int
    is_arrears: bool
    setup_fee: int

    def of(self, quantity: int) -> Priced:
        amount = self.minor * quantity
        return Priced(amount, self.is_arrears, self.setup_fee, (self.id, quantity))


@dataclass
class Modelled:
    """One subscription of one merchant with what it should have cost."""

    world: World
    id: UUID
    fair: Fair
    unit: str
    start_at: datetime
    trial_end: datetime | None = None
    keys: int = 100
    done: list[str] = field(default_factory=list)
    has_waited: bool = False

    def say(self, what: str) -> None:
        self.done.append(f"{self.world.now:%F %T} {what}")

    def advance(self) -> None:
        now = self.world.now
        if self.fair.state == "scheduled" and self.start_at <= now:
            self.fair.start(self.start_at, self.trial_end)
        if self.fair.state != "scheduled":
            self.fair.advance(now)

    async def items(self) -> list[Any]:
        return await self.world.items(self.id)

    # ── what is done to it, there and here ────────────────────────────────────────────────────────

    async def change(self, place: int, offer: Offer | None, quantity: int, settlement: str) -> None:
        """One item becomes another, or (beyond the last place) comes to the others."""
        items, known = await self.items(), list(self.fair.items)
        now = self.world.now
        if place >= len(items):
            assert offer is not None
            await self.world.change(
                self.id,
                ChangedItem(price_id=offer.id, quantity=quantity),
                adds=True,
                when=When.NOW,
                settlement=Settlement(settlement),
            )
            self.keys += 1
            becomes = self.fair.items | {self.keys: offer.of(quantity)}
        elif offer is None:
            await self.world.change(
                self.id,
                ChangedItem(id=items[place]["id"], is_removed=True),
                when=When.NOW,
                settlement=Settlement(settlement),
            )
            becomes = {k: v for k, v in self.fair.items.items() if k != known[place]}
        else:
            await self.world.change(
                self.id,
                ChangedItem(id=items[place]["id"], price_id=offer.id, quantity=quantity),
                when=When.NOW,
                settlement=Settlement(settlement),
            )
            becomes = self.fair.items | {known[place]: offer.of(quantity)}
        self.say(f"change {place} to {offer} x {quantity}, {settlement}")
        self.has_waited |= settlement == "next_invoice"
        self.advance()
        self.fair.change(now, becomes, settlement)

    async def plan(self, place: int, offer: Offer, quantity: int) -> None:
        items, known = await self.items(), list(self.fair.items)
        place %= len(items)
        wanted = ChangedItem(id=items[place]["id"], price_id=offer.id, quantity=quantity)
        await self.world.change(self.id, wanted, when=When.PERIOD_END)
        self.say(f"plan {place} to {offer} x {quantity}")
        self.advance()
        key = known[place]
        self.fair.planned = lambda found: found | {key: offer.of(quantity)}

    async def pause(self, unused: PauseUnused, invoices: PausedInvoices) -> None:
        await self.world.pause(self.id, unused=unused, invoices=invoices)
        self.say(f"pause {unused} {invoices}")
        self.advance()
        self.fair.pause(self.world.now, invoices.value, unused.value)

    async def resume(self) -> None:
        await self.world.resume(self.id)
        self.say("resume")
        self.advance()
        self.fair.resume(self.world.now)

    async def cancel(self, credit: CancelCredit) -> None:
        await self.world.cancel(self.id, credit=credit)
        self.say(f"cancel {credit}")
        self.advance()
        if self.fair.state == "scheduled":
            self.fair.state, self.fair.ended_at = "ended", self.world.now
        else:
            self.fair.cancel(self.world.now, credit.value)

    async def cancel_later(self) -> None:
        await self.world.cancel(self.id, at_period_end=True)
        self.say("cancel at period end")
        self.advance()
        self.fair.ends_with_period = True

    async def keep(self) -> None:
        await self.world.keep(self.id)
        self.say("keep")
        self.advance()
        self.fair.ends_with_period = False

    # ── how they compare ──────────────────────────────────────────────────────────────────────────

    async def agrees(self) -> bool:
        """Whether the service and the model say the same; False: the model no longer knows it."""
        self.advance()
        [row] = await self.world.fetch(TOTALS, self.id)
        if row["status"] == "incomplete":
            return True  # nothing goes on until it is paid
        if row["status"] not in STATES[self.fair.state]:
            unpaid = row["status"] in ("canceled", "incomplete_expired", "unpaid", "past_due")
            assert unpaid, self.story(f"is {row['status']}, not {self.fair.state}")
            return False
        if row["ended_at"] != self.fair.ended_at:  # before the end that it would have come to
            assert row["is_given_up"], self.story(f"has ended at {row['ended_at']}")
            return False
        if self.fair.state == "running":
            period = row["period_start"], row["period_end"]
            assert period == self.fair.period, self.story(f"{period} is not {self.fair.period}")
        billed, roundings = Fraction(int(row["billed"])), row["lines"]
        factor = 1 - self.fair.percent_off
        for item in await self.world.fetch(WAITING, self.id):
            roundings += 1
            # A credit that waits has its discount with it: the same share of the same line.
            billed += item["amount"] * factor
        fair = self.fair.total()
        close = abs(billed - fair) <= 2 * roundings
        assert close, self.story(f"was billed {float(billed)}, should be {float(fair)}")
        return True

    def story(self, what: str) -> str:
        return f"{self.id} {what}; {self.fair.rules}\n  " + "\n  ".join(self.done)


def seconds(random: Any, most: timedelta) -> timedelta:
    """A stretch of whole seconds, up to `most`."""
    return timedelta(seconds=random.randint(1, max(1, int(most.total_seconds()))))
