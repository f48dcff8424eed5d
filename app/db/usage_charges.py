"""Usage of periods that were billed already, and has come, or been taken back, since."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from app.db import usage
from app.db.base import Tx
from app.db.usage import Billed, Wanted
from app.domain import billing
from app.domain.billing import Account, Metered
from app.domain.calendar import Period
from app.domain.invoice import Charge
from app.domain.metering import DOUBT
from app.domain.pricing import Usage
from app.domain.subscription import Item

Key = tuple[UUID, UUID]


async def with_late(tx: Tx, accounts: Sequence[Account]) -> list[Account]:
    """The accounts with what is late for them, where they have metered items and are billed now."""
    metered = {
        (a.subscription.merchant_id, item.id): (a, item)
        for a in accounts
        for item in a.subscription.items
        if item.price.usage is Usage.METERED and a.policy.late_usage_days
    }
    if not metered:
        return list(accounts)
    billed = await _billed(tx, metered)
    measured = await usage.late(tx, [spans for spans, _ in billed])
    late: dict[Key, list[Charge]] = defaultdict(list)
    for spans, amount in billed:
        found = measured.get(spans.wanted)
        if found is None:
            continue
        wanted = spans.wanted
        account, item = metered[wanted.merchant_id, wanted.item_id]
        used = Metered(found.quantity, found.events)
        charge = billing.late(
            account, item, Period(wanted.start, wanted.end), used, (spans.quantity, amount)
        )
        if charge.amount or charge.quantity:
            late[wanted.merchant_id, wanted.subscription_id].append(charge)
    return [
        replace(a, late=tuple(late[key]))
        if (key := (a.subscription.merchant_id, a.subscription.id)) in late
        else a
        for a in accounts
    ]


async def _billed(tx: Tx, metered: dict[Key, tuple[Account, Item]]) -> list[tuple[Billed, int]]:
    """The spans of these items that were billed inside their merchants' windows, and for what."""
    subs = {
        (a.subscription.merchant_id, a.subscription.id): _window(a) for a, _ in metered.values()
    }
    rows = await tx.fetch(
        """
        SELECT l.merchant_id, l.subscription_item_id, l.period_start, l.period_end,
               sum(l.quantity)::bigint AS quantity, sum(l.amount)::bigint AS amount,
               max(i.created_at) AS billed_at
          FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[])
               AS k (merchant_id, subscription_id, since)
          JOIN invoices i USING (merchant_id, subscription_id)
          JOIN invoice_lines l ON l.merchant_id = i.merchant_id AND l.invoice_id = i.id
         WHERE l.kind = 'usage' AND l.period_end > k.since AND l.reverses_line_id IS NULL
         GROUP BY l.merchant_id, l.subscription_item_id, l.period_start, l.period_end
         ORDER BY l.period_start
        """,
        [key[0] for key in subs],
        [key[1] for key in subs],
        list(subs.values()),
    )
    found = []
    for row in rows:
        known = metered.get((row["merchant_id"], row["subscription_item_id"]))
        if known is None:
            continue
        sub, price = known[0].subscription, known[1].price
        assert price.meter_id is not None
        wanted = Wanted(
            row["merchant_id"],
            row["subscription_item_id"],
            sub.customer_id,
            sub.id,
            price.meter_id,
            row["period_start"],
            row["period_end"],
        )
        at = None if sub.test_clock_id is not None else row["billed_at"]
        found.append((Billed(wanted, row["quantity"], at), row["amount"]))
    return found


def _window(account: Account) -> datetime:
    """Since when a span must have ended: what came after the last bill was taken that late."""
    sub = account.subscription
    since = sub.start_at if sub.period is None else sub.period.start
    return since - timedelta(days=account.policy.late_usage_days) - DOUBT
