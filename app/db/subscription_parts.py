"""What belongs to subscriptions, many at a time, and the subscriptions that rows stand for."""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from uuid import UUID

import orjson

from app.db import prices
from app.db.base import Row, Tx
from app.domain.calendar import Interval, Period, Unit
from app.domain.discount import Discount
from app.domain.invoice import Collection
from app.domain.pricing import TrialEnd
from app.domain.subscription import (
    Ahead,
    Item,
    Pause,
    PausedInvoices,
    Scheduled,
    Status,
    Subscription,
)
from app.domain.tax import TaxRate

Key = tuple[UUID, UUID]


async def items(tx: Tx, keys: Sequence[Key]) -> dict[Key, tuple[Item, ...]]:
    """What each subscription is for, priced."""
    rows = await tx.fetch(
        """
        SELECT i.merchant_id, i.subscription_id, i.id, i.price_id, i.quantity, i.position,
               i.since
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, subscription_id)
          JOIN subscription_items i USING (merchant_id, subscription_id)
         WHERE i.removed_at IS NULL ORDER BY i.subscription_id, i.position
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    priced = await prices.load(tx, ((row["merchant_id"], row["price_id"]) for row in rows))
    of_sub: dict[Key, list[Item]] = defaultdict(list)
    for row in rows:
        price = priced[row["merchant_id"], row["price_id"]]
        item = Item(row["id"], price, row["quantity"], row["position"], row["since"])
        of_sub[row["merchant_id"], row["subscription_id"]].append(item)
    return {key: tuple(found) for key, found in of_sub.items()}


async def rates(tx: Tx, keys: Sequence[Key]) -> dict[Key, tuple[TaxRate, ...]]:
    """The taxes that each subscription was given by hand."""
    rows = await tx.fetch(
        """
        SELECT s.merchant_id, s.subscription_id, r.id, r.rate_ppm, r.inclusive, r.jurisdiction,
               r.display_name
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, subscription_id)
          JOIN subscription_tax_rates s USING (merchant_id, subscription_id)
          JOIN tax_rates r ON r.merchant_id = s.merchant_id AND r.id = s.tax_rate_id
         ORDER BY s.subscription_id, s.position
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    known: dict[Key, TaxRate] = {}
    found: dict[Key, list[TaxRate]] = defaultdict(list)
    for row in rows:
        merchant, rate_id = row["merchant_id"], row["id"]
        given = known.get((merchant, rate_id))
        if given is None:
            given = known[merchant, rate_id] = rate(row)
        found[merchant, row["subscription_id"]].append(given)
    return {key: tuple(rates) for key, rates in found.items()}


def rate(row: Row) -> TaxRate:
    """The tax rate that a row of `tax_rates` stands for."""
    return TaxRate(
        row["id"],
        row["rate_ppm"],
        row["inclusive"],
        row["jurisdiction"] or "",
        row["display_name"],
    )


async def default_methods(tx: Tx, subs: Sequence[Subscription]) -> dict[Key, UUID]:
    """The customers' default payment methods, where one is set."""
    customers = list({(s.merchant_id, s.customer_id) for s in subs if s.payment_method_id is None})
    rows = await tx.fetch(
        """
        SELECT c.merchant_id, c.id, c.default_payment_method_id
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN customers c USING (merchant_id, id)
         WHERE c.default_payment_method_id IS NOT NULL
        """,
        [c[0] for c in customers],
        [c[1] for c in customers],
    )
    return {(row["merchant_id"], row["id"]): row["default_payment_method_id"] for row in rows}


@lru_cache(maxsize=64)
def _interval(unit: str, count: int) -> Interval:
    """One for all who have the same."""
    return Interval(Unit(unit), count)


def subscription(
    row: Row,
    items: tuple[Item, ...],
    discounts: tuple[Discount, ...],
    rates: tuple[TaxRate, ...],
    scheduled: tuple[Scheduled, ...],
) -> Subscription:
    """The subscription that a row, with what belongs to it, stands for."""
    start, end, ahead = row["period_start"], row["period_end"], row["ahead_start"]
    behaviour, settings = row["trial_end_without_payment_method"], row["billing_settings"]
    return Subscription(
        id=row["id"],
        merchant_id=row["merchant_id"],
        customer_id=row["customer_id"],
        status=Status(row["status"]),
        currency=row["currency"],
        interval=_interval(row["interval_unit"], row["interval_count"]),
        zone=row["zone"],
        anchor=row["anchor"],
        period=None if start is None else Period(start, end),
        period_index=row["period_index"],
        items=items,
        discounts=discounts,
        rates=rates,
        collection=Collection(row["collection_method"]),
        net_days=row["net_days"],
        payment_method_id=row["payment_method_id"],
        start_at=row["start_at"],
        trial_end=row["trial_end"],
        expires_at=row["expires_at"],
        cancel_at=row["cancel_at"],
        cancel_at_period_end=row["cancel_at_period_end"],
        canceled_at=row["canceled_at"],
        ended_at=row["ended_at"],
        latest_invoice_id=row["latest_invoice_id"],
        test_clock_id=row["test_clock_id"],
        created_at=row["created_at"],
        external_id=row["external_id"],
        metadata=orjson.loads(row["metadata"]) if row["metadata"] != "{}" else {},
        version=row["version"],
        pause=_pause(row),
        scheduled=scheduled,
        cycles_left=row["cycles_left"],
        automatic_tax=row["automatic_tax"],
        trial_end_without_payment_method=None if behaviour is None else TrialEnd(behaviour),
        settings=orjson.loads(settings) if settings != "{}" else {},
        ahead=None if ahead is None else Ahead(ahead, row["ahead_invoice_id"]),
    )


def _pause(row: Row) -> Pause | None:
    since = row["paused_at"]
    if since is None:
        return None
    return Pause(since, PausedInvoices(row["pause_invoices"]), row["resumes_at"])
