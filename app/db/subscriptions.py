"""Subscriptions as decisions need them: claimed or locked, then loaded whole, many at a time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

import orjson

from app.db import balances, payments, prices
from app.db.base import Row, Tx, dumps
from app.db.scope import Scope
from app.domain.calendar import Interval, Period, Unit
from app.domain.discount import Coupon, Discount, Duration
from app.domain.errors import NotFound
from app.domain.invoice import Collection
from app.domain.lifecycle import Account
from app.domain.money import Money
from app.domain.subscription import Item, Status, Subscription
from app.domain.tax import TaxRate

Key = tuple[UUID, UUID]

COLUMNS: Final = """
    s.merchant_id, s.id, s.customer_id, s.external_id, s.status, s.currency, s.interval_unit,
    s.interval_count, s.zone, s.anchor, s.period_start, s.period_end, s.period_index,
    s.collection_method, s.net_days, s.payment_method_id, s.start_at, s.trial_end, s.expires_at,
    s.cancel_at, s.cancel_at_period_end, s.canceled_at, s.ended_at, s.latest_invoice_id,
    s.test_clock_id, s.metadata, s.created_at, s.version, s.next_action_at
"""


async def claim_due(
    tx: Tx, scope: Scope, now: datetime, limit: int, only: Sequence[UUID] | None = None
) -> list[Row]:
    """Lock up to `limit` subscriptions that are due, oldest first, leaving those locked already.

    `only` narrows it to some ids: the retry of a chunk in smaller parts.
    """
    args: list[object] = [now, limit, only]
    where = "s.test_clock_id IS NULL"
    if scope.test_clock_id is not None:
        where = "s.merchant_id = $4 AND s.test_clock_id = $5"
        args += [scope.merchant_id, scope.test_clock_id]
    return await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM subscriptions s
         WHERE {where} AND s.next_action_at <= $1 AND s.next_action_at IS NOT NULL
           AND s.parked_at IS NULL AND ($3::uuid[] IS NULL OR s.id = ANY ($3::uuid[]))
         ORDER BY s.next_action_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
        """,
        *args,
    )


async def next_due(tx: Tx, scope: Scope) -> datetime | None:
    """When the next subscription of a test clock is due."""
    due: datetime | None = await tx.fetchval(
        """
        SELECT min(next_action_at) FROM subscriptions
         WHERE merchant_id = $1 AND test_clock_id = $2 AND parked_at IS NULL
           AND next_action_at IS NOT NULL
        """,
        scope.merchant_id,
        scope.test_clock_id,
    )
    return due


async def lock(tx: Tx, subscription_id: UUID) -> Account:
    """One subscription of the transaction's merchant, locked. Raises NotFound."""
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM subscriptions s "
        "WHERE s.merchant_id = current_setting('app.merchant_id')::uuid AND s.id = $1 "
        "FOR NO KEY UPDATE",
        subscription_id,
    )
    if not rows:
        raise NotFound("There is no such subscription.", code="subscription_not_found")
    return (await load(tx, rows))[0]


async def load_many(tx: Tx, keys: Sequence[Key]) -> dict[Key, Subscription]:
    """Subscriptions by (merchant, id), locked in order of their ids."""
    if not keys:
        return {}
    wanted = sorted(set(keys))
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN subscriptions s USING (merchant_id, id) ORDER BY s.id FOR NO KEY UPDATE OF s
        """,
        [k[0] for k in wanted],
        [k[1] for k in wanted],
    )
    accounts = await load(tx, rows)
    return {(a.subscription.merchant_id, a.subscription.id): a.subscription for a in accounts}


async def load(tx: Tx, rows: Sequence[Row]) -> list[Account]:
    """Everything that decisions about these rows need, in a fixed number of queries."""
    if not rows:
        return []
    keys = [(row["merchant_id"], row["id"]) for row in rows]
    items = await _items(tx, keys)
    discounts = await _discounts(tx, keys)
    rates = await _rates(tx, keys)
    subs = [
        _subscription(row, items[key], discounts.get(key, ()), rates.get(key, ()))
        for key, row in zip(keys, rows, strict=True)
    ]
    methods = await _default_methods(tx, subs)
    held = await balances.load(tx, [(s.merchant_id, s.customer_id, s.currency) for s in subs])
    waiting = [
        (s.merchant_id, s.latest_invoice_id)
        for s in subs
        if s.status is Status.INCOMPLETE and s.latest_invoice_id is not None
    ]
    bills = await payments.load_first_bills(tx, waiting) if waiting else {}
    return [
        Account(
            sub,
            held[sub.merchant_id, sub.customer_id, sub.currency],
            sub.payment_method_id or methods.get((sub.merchant_id, sub.customer_id)),
            bills.get((sub.merchant_id, sub.latest_invoice_id)) if bills else None,
        )
        for sub in subs
    ]


async def set_metadata(tx: Tx, subscription_id: UUID, metadata: Mapping[str, str]) -> None:
    """Replace what a subscription carries for its merchant; the version is the caller's affair."""
    await tx.run(
        """
        UPDATE subscriptions SET metadata = $2
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        subscription_id,
        dumps(metadata),
    )


async def park(tx: Tx, key: Key, reason: str, now: datetime) -> None:
    """Set a subscription aside with a reason, for a person to look at; it is not claimed again."""
    await tx.run(
        """
        UPDATE subscriptions SET parked_at = $3, parked_reason = $4
         WHERE merchant_id = $1 AND id = $2 AND parked_at IS NULL
        """,
        *key,
        now,
        reason[:500],
    )


async def is_parked(tx: Tx, subscription_id: UUID) -> bool:
    """Whether a subscription of the transaction's merchant is set aside."""
    return bool(
        await tx.fetchval(
            """
            SELECT parked_at IS NOT NULL FROM subscriptions
             WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
            """,
            subscription_id,
        )
    )


async def unpark(tx: Tx, subscription_id: UUID) -> bool:
    """Put a parked subscription back on the clock; False when it was not parked."""
    return bool(
        await tx.run(
            """
            UPDATE subscriptions SET parked_at = NULL, parked_reason = NULL
             WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
               AND parked_at IS NOT NULL
            """,
            subscription_id,
        )
    )


async def _items(tx: Tx, keys: Sequence[Key]) -> dict[Key, tuple[Item, ...]]:
    rows = await tx.fetch(
        """
        SELECT i.merchant_id, i.subscription_id, i.id, i.price_id, i.quantity
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, subscription_id)
          JOIN subscription_items i USING (merchant_id, subscription_id)
         ORDER BY i.subscription_id, i.position
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    priced = await prices.load(tx, ((row["merchant_id"], row["price_id"]) for row in rows))
    items: dict[Key, list[Item]] = defaultdict(list)
    for row in rows:
        price = priced[row["merchant_id"], row["price_id"]]
        item = Item(row["id"], price, row["quantity"])
        items[row["merchant_id"], row["subscription_id"]].append(item)
    return {key: tuple(found) for key, found in items.items()}


async def _discounts(tx: Tx, keys: Sequence[Key]) -> dict[Key, tuple[Discount, ...]]:
    rows = await tx.fetch(
        """
        SELECT d.merchant_id, d.subscription_id, d.id, d.periods_remaining, c.id AS coupon_id,
               c.name, c.percent_off_ppm, c.amount_off, c.currency, c.duration,
               c.duration_in_periods
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, subscription_id)
          JOIN discounts d USING (merchant_id, subscription_id)
          JOIN coupons c ON c.merchant_id = d.merchant_id AND c.id = d.coupon_id
         WHERE d.ended_at IS NULL ORDER BY d.subscription_id, d.position
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    known: dict[Key, Coupon] = {}
    found: dict[Key, list[Discount]] = defaultdict(list)
    for row in rows:
        merchant, coupon_id = row["merchant_id"], row["coupon_id"]
        given = known.get((merchant, coupon_id))
        if given is None:
            given = known[merchant, coupon_id] = coupon(row)
        discount = Discount(row["id"], given, row["periods_remaining"])
        found[merchant, row["subscription_id"]].append(discount)
    return {key: tuple(discounts) for key, discounts in found.items()}


def coupon(row: Row) -> Coupon:
    """The coupon that a row of `coupons`, its id as `coupon_id`, stands for."""
    amount = row["amount_off"]
    return Coupon(
        id=row["coupon_id"],
        name=row["name"],
        percent_off_ppm=row["percent_off_ppm"],
        amount_off=None if amount is None else Money(amount, row["currency"]),
        duration=Duration(row["duration"]),
        duration_periods=row["duration_in_periods"],
    )


async def _rates(tx: Tx, keys: Sequence[Key]) -> dict[Key, tuple[TaxRate, ...]]:
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


async def _default_methods(tx: Tx, subs: Sequence[Subscription]) -> dict[Key, UUID]:
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


def _subscription(
    row: Row,
    items: tuple[Item, ...],
    discounts: tuple[Discount, ...],
    rates: tuple[TaxRate, ...],
) -> Subscription:
    start, end = row["period_start"], row["period_end"]
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
    )
