"""Subscriptions as rows of the clock: claimed, parked, put back. `accounts` loads them whole."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from app.db import subscription_parts as parts
from app.db.base import Row, Tx, dumps
from app.db.scope import Scope
from app.domain.tax import TaxRate

Key = tuple[UUID, UUID]

COLUMNS: Final = """
    s.merchant_id, s.id, s.customer_id, s.external_id, s.status, s.currency, s.interval_unit,
    s.interval_count, s.zone, s.anchor, s.period_start, s.period_end, s.period_index,
    s.collection_method, s.net_days, s.payment_method_id, s.start_at, s.trial_end, s.expires_at,
    s.cancel_at, s.cancel_at_period_end, s.canceled_at, s.ended_at, s.latest_invoice_id,
    s.test_clock_id, s.metadata, s.created_at, s.version, s.next_action_at, s.pause_invoices,
    s.paused_at, s.resumes_at, s.cycles_left, s.automatic_tax,
    s.trial_end_without_payment_method, s.billing_settings, s.ahead_start, s.ahead_invoice_id
"""


class But(NamedTuple):
    """Which subscriptions are not claimed: some of them, and all of some merchants."""

    ids: Collection[UUID] = ()
    merchants: Collection[UUID] = ()


class CustomerDue(NamedTuple):
    """A customer, and the instant of the first thing that is due on its subscriptions."""

    merchant_id: UUID
    id: UUID
    due_at: datetime


NOBODY: Final = But()


async def claim_due(
    tx: Tx,
    scope: Scope,
    now: datetime,
    limit: int,
    only: Sequence[UUID] | None = None,
    but: But = NOBODY,
) -> list[Row]:
    """Lock up to `limit` subscriptions that are due, oldest first, leaving those locked already.

    `only` narrows it to some ids, whoever's they are: the retry of a chunk in smaller parts.
    """
    args: list[object] = [now, limit, only]
    where = "s.test_clock_id IS NULL"
    if scope.test_clock_id is not None:
        where = "s.merchant_id = $4 AND s.test_clock_id = $5"
        args += [scope.merchant_id, scope.test_clock_id]
    if but.ids:
        args.append(list(but.ids))
        where += f" AND s.id <> ALL (${len(args)}::uuid[])"
    if but.merchants and only is None:
        args.append(list(but.merchants))
        where += f" AND s.merchant_id <> ALL (${len(args)}::uuid[])"
    return await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM subscriptions s
         WHERE {where} AND s.next_action_at <= $1 AND s.next_action_at IS NOT NULL
           AND s.parked_at IS NULL AND ($3::uuid[] IS NULL OR s.id = ANY ($3::uuid[]))
         ORDER BY s.next_action_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
        """,
        *args,
    )


async def claim_customers(
    tx: Tx,
    scope: Scope,
    now: datetime,
    limit: int,
    merchants: Collection[UUID],
    but: Collection[UUID] = (),
) -> list[CustomerDue]:
    """Lock up to `limit` customers of these merchants that have subscriptions due, leaving those
    locked already.
    """
    rows = await tx.fetch(
        """
        WITH due AS (
            SELECT s.merchant_id, s.customer_id, min(s.next_action_at) AS due_at
              FROM subscriptions s
             WHERE s.merchant_id = ANY ($3::uuid[]) AND s.next_action_at <= $1
               AND s.next_action_at IS NOT NULL AND s.parked_at IS NULL
               AND s.test_clock_id IS NOT DISTINCT FROM $4 AND s.id <> ALL ($5::uuid[])
             GROUP BY s.merchant_id, s.customer_id ORDER BY 3 LIMIT $2)
        SELECT c.merchant_id, c.id, due.due_at FROM due
          JOIN customers c ON c.merchant_id = due.merchant_id AND c.id = due.customer_id
         ORDER BY c.id FOR NO KEY UPDATE OF c SKIP LOCKED
        """,
        now,
        limit,
        list(merchants),
        scope.test_clock_id,
        list(but),
    )
    return [CustomerDue(row["merchant_id"], row["id"], row["due_at"]) for row in rows]


async def claim_of_customers(
    tx: Tx, scope: Scope, customers: Sequence[CustomerDue]
) -> dict[Key, list[Row]]:
    """Lock all that is due at one instant on each of these customers.

    A customer of whom another transaction has something locked is left out.
    """
    wanted = (
        [one.merchant_id for one in customers],
        [one.id for one in customers],
        [one.due_at for one in customers],
        scope.test_clock_id,
    )
    due = """
        SELECT {0} FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[])
               AS k (merchant_id, customer_id, due_at)
          JOIN subscriptions s ON s.merchant_id = k.merchant_id
           AND s.customer_id = k.customer_id AND s.next_action_at = k.due_at
         WHERE s.parked_at IS NULL AND s.test_clock_id IS NOT DISTINCT FROM $4
         ORDER BY s.id {1}
    """
    locked = await tx.fetch(due.format(COLUMNS, "FOR NO KEY UPDATE OF s SKIP LOCKED"), *wanted)
    there = await tx.fetch(due.format("s.merchant_id, s.customer_id, s.id", ""), *wanted)
    mine = {row["id"] for row in locked}
    others = {(r["merchant_id"], r["customer_id"]) for r in there if r["id"] not in mine}
    found: dict[Key, list[Row]] = defaultdict(list)
    for row in locked:
        key = row["merchant_id"], row["customer_id"]
        if key not in others:
            found[key].append(row)
    return found


async def due_with(tx: Tx, subscription_id: UUID) -> list[Row]:
    """A subscription, which is locked, and those of its customer that are due at the same instant,
    locked here; without those that somebody else has locked, or that are parked.
    """
    return await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM subscriptions s JOIN subscriptions o
            ON o.merchant_id = s.merchant_id AND o.customer_id = s.customer_id
           AND o.next_action_at = s.next_action_at
           AND o.test_clock_id IS NOT DISTINCT FROM s.test_clock_id
         WHERE o.merchant_id = current_setting('app.merchant_id')::uuid AND o.id = $1
           AND (s.parked_at IS NULL OR s.id = o.id)
         ORDER BY s.id FOR NO KEY UPDATE OF s SKIP LOCKED
        """,
        subscription_id,
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


async def set_options(
    tx: Tx, subscription_id: UUID, metadata: Mapping[str, str], automatic_tax: bool
) -> None:
    """Replace what the clock never changes; the version is the caller's affair."""
    await tx.run(
        """
        UPDATE subscriptions SET metadata = $2, automatic_tax = $3
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        subscription_id,
        dumps(metadata),
        automatic_tax,
    )


async def set_tax_rates(tx: Tx, subscription_id: UUID, rates: Sequence[UUID]) -> None:
    """Replace the taxes that a subscription was given by hand."""
    await tx.run(
        """
        DELETE FROM subscription_tax_rates
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND subscription_id = $1
        """,
        subscription_id,
    )
    await tx.run(
        """
        INSERT INTO subscription_tax_rates (merchant_id, subscription_id, tax_rate_id, position)
        SELECT current_setting('app.merchant_id')::uuid, $1, r.id, r.place - 1
          FROM unnest($2::uuid[]) WITH ORDINALITY AS r (id, place)
        """,
        subscription_id,
        rates,
    )


async def running(tx: Tx, subscription_id: UUID) -> Row | None:
    """Whose a subscription is and in which currency, unless it has ended."""
    return await tx.fetchrow(
        """
        SELECT customer_id, currency FROM subscriptions
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
           AND ended_at IS NULL
        """,
        subscription_id,
    )


async def lock_row(tx: Tx, subscription_id: UUID) -> None:
    """Keep others off a subscription for as long as what belongs to it changes."""
    await tx.run(
        "SELECT 1 FROM subscriptions WHERE merchant_id = current_setting('app.merchant_id')::uuid "
        "AND id = $1 FOR NO KEY UPDATE",
        subscription_id,
    )


async def taxed_by(tx: Tx, subscription_id: UUID) -> tuple[bool, tuple[TaxRate, ...]]:
    """Whether a subscription's taxes are found by place, and the rates that it was given."""
    row = await tx.fetchrow(
        "SELECT merchant_id, automatic_tax FROM subscriptions "
        "WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1",
        subscription_id,
    )
    assert row is not None, "a foreign key holds it"
    key = row["merchant_id"], subscription_id
    return row["automatic_tax"], (await parts.rates(tx, [key])).get(key, ())


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
