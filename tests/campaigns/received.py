"""What was paid of invoices, reckoned beside the service: by hand as it was recorded here, and by
card as the gateway's own books have it.
"""

from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from app.domain.payment import OfflineMethod
from app.services import invoices, offline_payments
from app.services.invoices import PayInvoice
from app.services.offline_payments import RecordPayment
from tests.world import World

OPEN = """
SELECT id, amount_due - amount_paid - amount_credited AS remains FROM invoices
 WHERE status IN ('open', 'uncollectible') AND amount_due > amount_paid + amount_credited
 ORDER BY id DESC LIMIT 50
"""
PAID = """
SELECT i.id, i.status, i.amount_due, i.amount_paid, i.amount_credited,
       coalesce(array_agg(a.reference) FILTER (WHERE a.id IS NOT NULL), '{}') AS references,
       coalesce(bool_or(a.settled_at IS NULL) FILTER (WHERE a.id IS NOT NULL), false) AS is_open
  FROM invoices i
  LEFT JOIN payments p ON p.merchant_id = i.merchant_id AND p.invoice_id = i.id
  LEFT JOIN payment_attempts a ON a.merchant_id = p.merchant_id AND a.payment_id = p.id
 GROUP BY i.merchant_id, i.id
"""


@dataclass
class Received:
    """One payment that was recorded by hand, as it was said."""

    world: World
    invoice: UUID
    payment: UUID
    amount: int


@dataclass
class Till:
    """All that was recorded by hand and stands, of all merchants."""

    random: Random
    standing: list[Received] = field(default_factory=list)
    parts: int = 0
    reversed: int = 0

    async def receive(self, world: World) -> None:
        """An open invoice is paid by hand: wholly, in part, or, which is refused, by too much."""
        rows = await world.fetch(OPEN)
        if not rows:
            return
        row = self.random.choice(rows)
        remains = int(row["remains"])
        part = self.random.randint(1, remains)
        wanted = self.random.choice((None, part, part, part, remains + 1))
        cmd = RecordPayment(row["id"], OfflineMethod.BANK_TRANSFER, wanted)
        payment = await offline_payments.record(world.rt, world.caller, cmd)
        await self._keep(world, row["id"], payment, wanted)
        self.parts += wanted is not None and wanted < remains

    async def receive_all(self, world: World, invoice: UUID) -> None:
        """All that remains came, nobody says how."""
        cmd = PayInvoice(invoice, paid_outside=True)
        await self._keep(world, invoice, await invoices.pay(world.rt, world.caller, cmd), None)

    async def charge_part(self, world: World) -> None:
        """A part of what remains of an open invoice is charged."""
        rows = await world.fetch(OPEN)
        if rows:
            row = self.random.choice(rows)
            cmd = PayInvoice(row["id"], amount=self.random.randint(1, int(row["remains"])))
            await invoices.pay(world.rt, world.caller, cmd)

    async def reverse(self) -> None:
        """What was recorded bounces."""
        if self.standing:
            came = self.random.choice(self.standing)
            world = came.world
            await offline_payments.reverse(world.rt, world.caller, came.payment, "bounced")
            self.standing.remove(came)
            self.reversed += 1

    async def _keep(self, world: World, invoice: UUID, payment: UUID, said: int | None) -> None:
        [row] = await world.fetch("SELECT amount FROM payments WHERE id = $1", payment)
        assert said in (None, row["amount"])
        self.standing.append(Received(world, invoice, payment, row["amount"]))

    async def agree(self, world: World) -> None:
        """Of each invoice without a charge in flight: what was paid is what came, and no more."""
        moved = {
            row["reference"]: row["amount"]
            for row in world.entries()
            if row["kind"] == "charge" and row["status"] == "succeeded"
        }
        by_hand: dict[UUID, int] = {}
        for came in self.standing:
            by_hand[came.invoice] = by_hand.get(came.invoice, 0) + came.amount
        for row in await world.fetch(PAID):
            if row["is_open"]:
                continue
            came = by_hand.get(row["id"], 0) + sum(moved.get(r, 0) for r in row["references"])
            assert row["amount_paid"] == came, f"{row['id']}: {row['amount_paid']}, not {came}"
            remains = row["amount_due"] - row["amount_paid"] - row["amount_credited"]
            assert remains >= 0 or row["amount_due"] < 0, f"{row['id']} took too much"
            if row["status"] in ("open", "paid"):
                assert (row["status"] == "paid") is (remains <= 0), (
                    f"{row['id']} is {row['status']}"
                )
