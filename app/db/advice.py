"""What advice looks at: the quantities of past periods, and the prices there are."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from app.db import invoices, prices, usage
from app.db.base import Tx
from app.db.usage import Wanted
from app.domain.advice import Past
from app.domain.calendar import Period
from app.domain.pricing import Price, Usage
from app.domain.subscription import Item, Subscription

PRICES_MAX: Final = 500
"""Active prices of one currency that are compared; nobody chooses among more."""


async def offered(tx: Tx, merchant_id: UUID, currency: str) -> list[Price]:
    """The recurring prices that are offered in a currency, the newest versions first."""
    rows = await tx.fetch(
        """
        SELECT p.id FROM prices p
          JOIN plans ON plans.merchant_id = p.merchant_id AND plans.id = p.plan_id
         WHERE p.merchant_id = current_setting('app.merchant_id')::uuid AND p.currency = $1
           AND p.type = 'recurring' AND p.active AND plans.active ORDER BY p.id DESC LIMIT $2
        """,
        currency,
        PRICES_MAX,
    )
    found = await prices.load(tx, ((merchant_id, row["id"]) for row in rows))
    return [found[merchant_id, row["id"]] for row in rows]


async def past(tx: Tx, sub: Subscription, item: Item, periods: Sequence[Period]) -> list[Past]:
    """What an item had in each period when that ended, or used in it."""
    if item.price.usage is Usage.METERED:
        return [await _used(tx, sub, item, period) for period in periods]
    rows = await tx.fetch(
        f"""
        SELECT l.period_start, l.period_end, l.quantity FROM {invoices.BILLS} b
          JOIN invoices i ON i.merchant_id = b.merchant_id AND i.id = b.invoice_id
          JOIN invoice_lines l ON l.merchant_id = i.merchant_id AND l.invoice_id = i.id
         WHERE b.merchant_id = current_setting('app.merchant_id')::uuid
           AND b.subscription_id = $1 AND i.status <> 'void' AND l.subscription_item_id = $2
           AND l.kind = 'period' AND l.reverses_line_id IS NULL AND l.period_end > $3
         ORDER BY l.period_start, l.id
        """,
        sub.id,
        item.id,
        periods[0].start,
    )
    found = []
    for period in periods:
        within = [row["quantity"] for row in rows if row["period_start"] in period]
        found.append(Past(period, within[-1] if within else item.quantity))
    return found


async def _used(tx: Tx, sub: Subscription, item: Item, period: Period) -> Past:
    assert item.price.meter_id is not None
    ids = sub.merchant_id, item.id, sub.customer_id, sub.id, item.price.meter_id
    measured = await usage.quantities(tx, [Wanted(*ids, period.start, period.end)])
    amount = measured[sub.merchant_id, item.id]
    return Past(period, amount.quantity, amount.events)
