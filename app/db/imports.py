"""What an import reads and writes, a chunk at a time: what is known by name, what is new in bulk.

Subscriptions themselves are written by `record`, like everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import bulk, outbox, prices, tables, views
from app.db.base import Database, Row, Tx, dumps
from app.db.coupons import COLUMNS as COUPON
from app.db.coupons import coupon
from app.db.views import View
from app.domain.discount import Coupon
from app.domain.event import Type
from app.domain.pricing import Price
from app.ids import new_id

DOCUMENTS: Final = frozenset({"address", "balances", "metadata"})
"""Columns that hold JSON text already."""
FILLED: Final = (
    "customers, payment_methods, plans, prices, coupons, subscriptions, subscription_items, events"
)


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """A customer to be stored; `method_id` becomes the default payment method."""

    id: UUID
    external_id: str
    email: str | None
    name: str | None
    country: str | None
    zone: str
    method_id: UUID | None


@dataclass(frozen=True, slots=True)
class NewMethod:
    """A payment method to be stored."""

    id: UUID
    customer_id: UUID
    reference: str
    customer_reference: str | None
    brand: str | None
    last_four: str | None
    expiry_month: int | None
    expiry_year: int | None


@dataclass(frozen=True, slots=True)
class Home:
    """Where the imported belong: the account that charges them, and the clock they live on."""

    gateway_account_id: UUID | None
    test_clock_id: UUID | None


@dataclass(frozen=True, slots=True)
class AmountKey:
    """The price of a plan that costs just this a unit, per unit and in advance."""

    plan_id: UUID
    currency: str
    interval_unit: str
    interval_count: int
    unit_amount_decimal: str


async def analyze(db: Database) -> None:
    """Gather statistics of the tables an import fills; passed over where we may not.

    What is planned for empty tables, foreign keys' checks not least, is planned once for the
    connection and reads far too much once they are full; new statistics have it planned anew.
    """
    async with db.engine.connect() as owner:
        await owner.execution_options(isolation_level="AUTOCOMMIT")
        await owner.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {FILLED}")


async def hold_clock(tx: Tx, merchant_id: UUID, clock_id: UUID) -> Row | None:
    """A test clock, kept from moving until the end of the transaction."""
    return await tx.fetchrow(
        "SELECT frozen_at, status FROM test_clocks WHERE merchant_id = $1 AND id = $2 FOR SHARE",
        merchant_id,
        clock_id,
    )


async def customers(tx: Tx, merchant_id: UUID, names: Sequence[str]) -> dict[str, Row]:
    """The customers with these external ids, kept from being deleted meanwhile."""
    rows = await tx.fetch(
        """
        SELECT id, external_id, zone, default_payment_method_id, test_clock_id FROM customers
         WHERE merchant_id = $1 AND external_id = ANY ($2::text[]) AND deleted_at IS NULL
           FOR KEY SHARE
        """,
        merchant_id,
        names,
    )
    return {row["external_id"]: row for row in rows}


async def subscriptions(tx: Tx, merchant_id: UUID, names: Sequence[str]) -> dict[str, Row]:
    """The subscriptions with these external ids, with what an import says about them."""
    rows = await tx.fetch(
        """
        SELECT s.external_id, c.external_id AS customer, c.email, c.name, c.country, s.zone,
               i.price_id, i.quantity, s.start_at AS started_at, s.trial_end, s.cancel_at,
               s.cancel_at_period_end, s.collection_method, s.net_days, s.metadata,
               m.gateway_reference AS payment_token
          FROM subscriptions s
          JOIN customers c ON c.merchant_id = s.merchant_id AND c.id = s.customer_id
          LEFT JOIN subscription_items i ON i.merchant_id = s.merchant_id
           AND i.subscription_id = s.id AND i.position = 0
          LEFT JOIN payment_methods m ON m.merchant_id = s.merchant_id
           AND m.id = coalesce(s.payment_method_id, c.default_payment_method_id)
         WHERE s.merchant_id = $1 AND s.external_id = ANY ($2::text[])
        """,
        merchant_id,
        names,
    )
    return {row["external_id"]: row for row in rows}


async def plans(tx: Tx, merchant_id: UUID, codes: Sequence[str]) -> dict[str, UUID]:
    """The active plans with these codes."""
    rows = await tx.fetch(
        "SELECT code, id FROM plans WHERE merchant_id = $1 AND code = ANY ($2::text[]) AND active",
        merchant_id,
        codes,
    )
    return {row["code"]: row["id"] for row in rows}


async def coupons(tx: Tx, merchant_id: UUID, codes: Sequence[str]) -> dict[str, Coupon]:
    """The active coupons with these codes."""
    rows = await tx.fetch(
        f"""
        SELECT c.code, {COUPON}
          FROM coupons c
         WHERE c.merchant_id = $1 AND c.code = ANY ($2::text[]) AND c.active
        """,
        merchant_id,
        codes,
    )
    return {row["code"]: coupon(row) for row in rows}


async def prices_by_lookup_key(
    tx: Tx, merchant_id: UUID, lookup_keys: Sequence[str]
) -> dict[str, Price]:
    """The active prices with these lookup keys."""
    rows = await tx.fetch(
        """
        SELECT lookup_key, id FROM prices
         WHERE merchant_id = $1 AND lookup_key = ANY ($2::text[]) AND active
        """,
        merchant_id,
        lookup_keys,
    )
    found = await prices.load(tx, ((merchant_id, row["id"]) for row in rows))
    return {row["lookup_key"]: found[merchant_id, row["id"]] for row in rows}


async def prices_by_amount(
    tx: Tx, merchant_id: UUID, keys: Sequence[AmountKey]
) -> dict[AmountKey, Price]:
    """The newest active price of each plan that costs just so much, with nothing on top."""
    rows = await tx.fetch(
        """
        SELECT DISTINCT ON (k.place) k.place, p.id
          FROM unnest($2::uuid[], $3::text[], $4::text[], $5::int[], $6::text[]) WITH ORDINALITY
               AS k (plan_id, currency, interval_unit, interval_count, amount, place)
          JOIN prices p USING (plan_id, currency, interval_unit, interval_count)
         WHERE p.merchant_id = $1 AND p.active AND p.model = 'per_unit' AND p.timing = 'advance'
           AND p.usage_type = 'licensed' AND p.tax_behaviour = 'exclusive' AND p.setup_fee = 0
           AND p.unit_amount_decimal::numeric = k.amount::numeric
         ORDER BY k.place, p.price_version DESC, p.id DESC
        """,
        merchant_id,
        [key.plan_id for key in keys],
        [key.currency for key in keys],
        [key.interval_unit for key in keys],
        [key.interval_count for key in keys],
        [key.unit_amount_decimal for key in keys],
    )
    found = await prices.load(tx, ((merchant_id, row["id"]) for row in rows))
    return {keys[row["place"] - 1]: found[merchant_id, row["id"]] for row in rows}


async def payment_methods(
    tx: Tx, merchant_id: UUID, account_id: UUID, keys: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], UUID]:
    """The attached payment methods with these (customer, gateway's token) at one account."""
    rows = await tx.fetch(
        """
        SELECT m.customer_id, m.gateway_reference, m.id
          FROM unnest($3::uuid[], $4::text[]) AS k (customer_id, gateway_reference)
          JOIN payment_methods m USING (customer_id, gateway_reference)
         WHERE m.merchant_id = $1 AND m.gateway_account_id = $2 AND m.detached_at IS NULL
        """,
        merchant_id,
        account_id,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    return {(row["customer_id"], row["gateway_reference"]): row["id"] for row in rows}


async def insert_plans(
    tx: Tx, merchant_id: UUID, plans: Sequence[tuple[UUID, str]], now: datetime
) -> None:
    """Store plans, (id, code) each, called by their codes."""
    columns = ("merchant_id", "id", "code", "name", "rank", "created_at")
    rows = [(merchant_id, plan, code, code, 0, now) for plan, code in plans]
    await bulk.insert(tx, tables.plans, columns, rows)


async def insert_prices(
    tx: Tx, merchant_id: UUID, priced: Sequence[tuple[UUID, AmountKey]], now: datetime
) -> None:
    """Store prices, each the next version of its plan's prices in its currency and interval."""
    if not priced:
        return
    keys = [key for _, key in priced]
    await tx.fetch(
        "SELECT id FROM plans WHERE merchant_id = $1 AND id = ANY ($2::uuid[]) "
        "ORDER BY id FOR NO KEY UPDATE",
        merchant_id,
        sorted({key.plan_id for key in keys}),
    )
    await tx.run(
        """
        INSERT INTO prices
            (merchant_id, id, plan_id, price_version, currency, interval_unit, interval_count,
             model, unit_amount_decimal, timing, setup_fee, trial_days, created_at)
        SELECT $1, k.id, k.plan_id,
               row_number() OVER (PARTITION BY plan_id, currency, interval_unit, interval_count
                                  ORDER BY k.place)
               + (SELECT coalesce(max(p.price_version), 0) FROM prices p
                   WHERE p.merchant_id = $1 AND p.plan_id = k.plan_id AND p.currency = k.currency
                     AND p.interval_unit = k.interval_unit
                     AND p.interval_count = k.interval_count),
               k.currency, k.interval_unit, k.interval_count, 'per_unit', k.amount, 'advance',
               0, 0, $2
          FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::int[], $8::text[])
               WITH ORDINALITY
               AS k (id, plan_id, currency, interval_unit, interval_count, amount, place)
        """,
        merchant_id,
        now,
        [price for price, _ in priced],
        [key.plan_id for key in keys],
        [key.currency for key in keys],
        [key.interval_unit for key in keys],
        [key.interval_count for key in keys],
        [key.unit_amount_decimal for key in keys],
    )


async def insert_customers(
    tx: Tx,
    merchant_id: UUID,
    customers: Sequence[NewCustomer],
    methods: Sequence[NewMethod],
    home: Home,
    now: datetime,
) -> None:
    """Store customers and payment methods, which refer to each other, in one statement.

    Foreign keys are checked at its end, so a customer has its default method from the start.
    """
    if not customers and not methods:
        return
    await tx.run(
        """
        WITH fresh AS (
            INSERT INTO customers
                (merchant_id, id, external_id, email, name, country, address, zone,
                 default_payment_method_id, test_clock_id, created_at)
            SELECT $1, c.id, c.external_id, c.email, c.name, c.country, c.address, c.zone,
                   c.method_id, $3, $4
              FROM unnest($5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::json[],
                          $11::text[], $12::uuid[])
                   AS c (id, external_id, email, name, country, address, zone, method_id)
        )
        INSERT INTO payment_methods
            (merchant_id, id, customer_id, gateway_account_id, gateway_reference,
             gateway_customer_reference, brand, last_four, expiry_month, expiry_year, created_at)
        SELECT $1, m.id, m.customer_id, $2, m.reference, m.customer_reference, m.brand,
               m.last_four, m.expiry_month, m.expiry_year, $4
          FROM unnest($13::uuid[], $14::uuid[], $15::text[], $16::text[], $17::text[], $18::text[],
                      $19::smallint[], $20::smallint[])
               AS m (id, customer_id, reference, customer_reference, brand, last_four,
                     expiry_month, expiry_year)
        """,
        merchant_id,
        home.gateway_account_id,
        home.test_clock_id,
        now,
        *_columns(8, [_customer(c) for c in customers]),
        *_columns(8, [_method(m) for m in methods]),
    )


def _customer(c: NewCustomer) -> tuple[Any, ...]:
    address = dumps({"country": c.country} if c.country else {})
    return (c.id, c.external_id, c.email, c.name, c.country, address, c.zone, c.method_id)


def _method(m: NewMethod) -> tuple[Any, ...]:
    shown = (m.brand, m.last_four, m.expiry_month, m.expiry_year)
    return (m.id, m.customer_id, m.reference, m.customer_reference, *shown)


def _columns(count: int, rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(count)]


async def tell(
    tx: Tx, merchant_id: UUID, type: Type, view: View, ids: Sequence[UUID], now: datetime
) -> None:
    """Write the event `type` for each of these new rows, with its fields as they are now."""
    if not ids:
        return
    rows = await views.some(tx, view, merchant_id, ids)
    columns = ("merchant_id", "id", "type", "object", "object_id", "object_version", "data")
    told = [
        (merchant_id, new_id(), type, view.object, row["id"], row["version"], _json(row), now)
        for row in rows
    ]
    await bulk.insert(tx, tables.events, (*columns, "created_at"), told)
    await outbox.put(tx, [(merchant_id, event[1]) for event in told])


def _json(row: Row) -> str:
    fields: dict[str, Any] = {
        name: orjson.Fragment(value) if name in DOCUMENTS else value for name, value in row.items()
    }
    return dumps(fields)
