"""Charges for usage of periods that were billed before it came, or before it was taken back."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from app.db import invoices, prices, usage
from app.db.base import Row, Tx
from app.db.usage import Billed, Wanted
from app.domain import billing
from app.domain.billing import Account, Metered
from app.domain.calendar import Period
from app.domain.invoice import Charge
from app.domain.metering import DOUBT
from app.domain.pricing import Price, Usage
from app.domain.subscription import Item

Key = tuple[UUID, UUID]


class _Span(NamedTuple):
    """A stretch of an item's usage as it was billed: for how much, and at which price."""

    billed: Billed
    amount: int
    price: Price


async def with_late(tx: Tx, accounts: Sequence[Account]) -> list[Account]:
    """The accounts with what is late for them, where they have metered items and are billed now.

    It costs what it would have cost in its own period: at the price of then, in the tiers it falls
    into, less what was billed.
    """
    metered = {
        (a.subscription.merchant_id, a.subscription.id): a
        for a in accounts
        if a.policy.late_usage_days
        and any(item.price.usage is Usage.METERED for item in a.subscription.items)
    }
    if not metered:
        return list(accounts)
    spans = await _spans(tx, metered)
    measured = await usage.late(tx, [span.billed for span in spans])
    late: dict[Key, list[Charge]] = defaultdict(list)
    for span in spans:
        wanted = span.billed.wanted
        found = measured.get(wanted)
        if found is None:
            continue
        key = wanted.merchant_id, wanted.subscription_id
        charge = billing.late(
            metered[key],
            Item(wanted.item_id, span.price, 0),
            Period(wanted.start, wanted.end),
            Metered(found.quantity, found.events),
            (span.billed.quantity, span.amount),
        )
        if charge.amount or charge.quantity:
            late[key].append(charge)
    return [
        replace(a, late=tuple(late[key]))
        if (key := (a.subscription.merchant_id, a.subscription.id)) in late
        else a
        for a in accounts
    ]


async def _spans(tx: Tx, metered: Mapping[Key, Account]) -> list[_Span]:
    """The spans of these subscriptions that usage may still have come to since they were billed.

    What was billed on an invoice that is void by now counts as billed: it is owed again only when
    asked for.
    """
    rows = await tx.fetch(
        f"""
        SELECT l.merchant_id, b.subscription_id, l.subscription_item_id, l.price_id,
               l.period_start, l.period_end, sum(l.quantity)::bigint AS quantity,
               sum(l.amount)::bigint AS amount, max(i.created_at) AS billed_at
          FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[])
               AS k (merchant_id, subscription_id, since)
          JOIN {invoices.BILLS} b USING (merchant_id, subscription_id)
          JOIN invoices i ON i.merchant_id = b.merchant_id AND i.id = b.invoice_id
          JOIN invoice_lines l ON l.merchant_id = i.merchant_id AND l.invoice_id = i.id
         WHERE l.kind = 'usage' AND l.period_end > k.since AND l.reverses_line_id IS NULL
           AND (l.subscription_id IS NULL OR l.subscription_id = b.subscription_id)
         GROUP BY l.merchant_id, b.subscription_id, l.subscription_item_id, l.price_id,
                  l.period_start, l.period_end
         ORDER BY l.period_start
        """,
        [key[0] for key in metered],
        [key[1] for key in metered],
        [_since(account) for account in metered.values()],
    )
    priced = await prices.load(tx, ((row["merchant_id"], row["price_id"]) for row in rows))
    return [_span(row, metered[row["merchant_id"], row["subscription_id"]], priced) for row in rows]


def _span(row: Row, account: Account, priced: Mapping[Key, Price]) -> _Span:
    sub, price = account.subscription, priced[row["merchant_id"], row["price_id"]]
    assert price.meter_id is not None, "what is metered has a meter"
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
    return _Span(Billed(wanted, row["quantity"], at), row["amount"], price)


def _since(account: Account) -> datetime:
    """Since when a span must have ended: what came after the last bill was taken that late."""
    sub = account.subscription
    since = sub.start_at if sub.period is None else sub.period.start
    return since - timedelta(days=account.policy.late_usage_days) - DOUBT
