"""Rows of `tax_engine_rates`: what engines said, and that they said nothing, for a while."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import orjson

from app.db.base import Row, Tx, dumps
from app.db.scope import Scope
from app.domain.ids import NewId
from app.domain.places import Place
from app.domain.tax import TaxRate
from app.domain.tax_engine import (
    Answer,
    Away,
    EngineTaxation,
    FailPolicy,
    Failure,
    Kept,
    Question,
    SaidRate,
    Subject,
    Topic,
    resolved,
)
from app.domain.tax_id import USABLE
from app.domain.taxation import Reason, Taxation

Customer: TypeAlias = tuple[UUID, UUID]
"""The merchant, then the customer."""
Told: TypeAlias = tuple[Question, Answer | Failure]
Named: TypeAlias = tuple[str, str, str, int]
"""What tells an engine's rates apart: country, jurisdiction, name, parts per million."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A buyer whose merchant has an engine: how the merchant's own table taxes it, and where."""

    merchant_id: UUID
    table: Taxation
    place: Place
    policy: FailPolicy
    tax_ids: tuple[tuple[str, str], ...] = ()


async def numbers(tx: Tx, keys: Sequence[Customer]) -> dict[Customer, tuple[tuple[str, str], ...]]:
    """The customers' numbers that passed their check, as (type, compact form), in order."""
    rows = await tx.fetch(
        """
        SELECT i.merchant_id, i.customer_id, i.type, i.normalized_value
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, customer_id)
          JOIN customer_tax_ids i USING (merchant_id, customer_id)
         WHERE i.status = ANY($3::text[])
         ORDER BY i.type, i.normalized_value
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
        list(USABLE),
    )
    found: dict[Customer, list[tuple[str, str]]] = defaultdict(list)
    for merchant, customer, kind, value in rows:
        found[merchant, customer].append((kind, value))
    return {key: tuple(held) for key, held in found.items()}


async def taxations(tx: Tx, asking: Sequence[Asking]) -> list[EngineTaxation]:
    """Each buyer's taxation by what its merchant's engine said so far; one for all alike."""
    shared: dict[tuple[UUID, str], tuple[Asking, Subject]] = {}
    keys = []
    for one in asking:
        exempt = one.table.buyer.tax_exempt
        subject = Subject(one.merchant_id, one.table.seller, one.place, exempt, one.tax_ids)
        key = one.merchant_id, subject.fingerprint()
        shared.setdefault(key, (one, subject))
        keys.append(key)
    kept = await _kept(tx, list(shared))
    made = {
        key: EngineTaxation(subject, one.policy, one.table, kept.get(key, {}))
        for key, (one, subject) in shared.items()
    }
    return [made[key] for key in keys]


async def _kept(
    tx: Tx, keys: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], dict[Topic, Kept]]:
    rows = await tx.fetch(
        """
        SELECT r.merchant_id, r.fingerprint, r.tax_code, r.day, r.rates, r.reason, r.failure,
               r.country, r.expires_at
          FROM unnest($1::uuid[], $2::text[]) AS k (merchant_id, fingerprint)
          JOIN tax_engine_rates r USING (merchant_id, fingerprint)
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    found: dict[tuple[UUID, str], dict[Topic, Kept]] = defaultdict(dict)
    for row in rows:
        topic = row["tax_code"] or None, row["day"]
        found[row["merchant_id"], row["fingerprint"]][topic] = _one(row)
    return found


def _one(row: Row) -> Kept:
    if row["failure"] is not None:
        return Away(row["expires_at"])
    rates = tuple(
        TaxRate(UUID(rate), ppm, inclusive=False, jurisdiction=jurisdiction, display_name=name)
        for rate, ppm, jurisdiction, name in orjson.loads(row["rates"])
    )
    return resolved(rates, None if row["reason"] is None else Reason(row["reason"]), row["country"])


async def keep(
    tx: Tx,
    merchant_id: UUID,
    told: Sequence[Told],
    now: datetime,
    until: tuple[datetime, datetime],
    new_id: NewId,
) -> None:
    """Keep what a merchant's engine said: answers until the first of `until`, failures until the
    second. A failure never takes the place of an answer.
    """
    ids = await _rates(tx, merchant_id, told, now, new_id)
    rows = [_values(question, said, ids, until) for question, said in told]
    await tx.run(
        """
        INSERT INTO tax_engine_rates AS r
            (merchant_id, asked_at, fingerprint, tax_code, day, country, rates, reason, failure,
             detail, expires_at)
        SELECT $1, $2, *
          FROM unnest($3::text[], $4::text[], $5::date[], $6::text[], $7::json[], $8::text[],
                      $9::text[], $10::text[], $11::timestamptz[])
        ON CONFLICT (merchant_id, fingerprint, tax_code, day) DO UPDATE
           SET rates = excluded.rates, reason = excluded.reason, failure = excluded.failure,
               detail = excluded.detail, asked_at = excluded.asked_at,
               expires_at = excluded.expires_at
         WHERE excluded.failure IS NULL OR r.failure IS NOT NULL
        """,
        merchant_id,
        now,
        *(list(column) for column in zip(*rows, strict=True)),
    )


def _values(
    question: Question,
    said: Answer | Failure,
    ids: Mapping[Named, UUID],
    until: tuple[datetime, datetime],
) -> tuple[Any, ...]:
    country = question.subject.place.country
    head = question.subject.fingerprint(), question.tax_code or "", question.day, country
    if isinstance(said, Failure):
        return (*head, "[]", None, said.kind, said.detail, until[1])
    rates = [
        (str(ids[_named(country, rate)]), rate.percentage_ppm, rate.jurisdiction, rate.name)
        for rate in said.rates
    ]
    return (*head, dumps(rates), said.reason, None, None, until[0])


def _named(country: str, rate: SaidRate) -> Named:
    return country, rate.jurisdiction, rate.name, rate.percentage_ppm


async def _rates(
    tx: Tx, merchant_id: UUID, told: Sequence[Told], now: datetime, new_id: NewId
) -> dict[Named, UUID]:
    """The rates that were said as rows of `tax_rates`, which invoices refer to; made on first use.

    Each is inserted in one order, so that two who hear the same at once cannot lock each other out.
    """
    named = {
        _named(question.subject.place.country, rate)
        for question, said in told
        if isinstance(said, Answer)
        for rate in said.rates
    }
    if not named:
        return {}
    columns = [list(column) for column in zip(*sorted(named), strict=True)]
    await tx.run(
        """
        INSERT INTO tax_rates (merchant_id, created_at, id, country, jurisdiction, display_name,
                               rate_ppm, inclusive, type, source)
        SELECT $1, $2, *, false, 'tax', 'tax_engine'
          FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[])
        ON CONFLICT (merchant_id, country, jurisdiction, display_name, rate_ppm)
              WHERE source = 'tax_engine' DO NOTHING
        """,
        merchant_id,
        now,
        [new_id() for _ in named],
        *columns,
    )
    rows = await tx.fetch(
        """
        SELECT t.id, t.country, t.jurisdiction, t.display_name, t.rate_ppm
          FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[])
               AS k (country, jurisdiction, display_name, rate_ppm)
          JOIN tax_rates t USING (country, jurisdiction, display_name, rate_ppm)
         WHERE t.merchant_id = $1 AND t.source = 'tax_engine'
        """,
        merchant_id,
        *columns,
    )
    return {(row[1], row[2], row[3], row[4]): row[0] for row in rows}


async def forget(tx: Tx, merchant_id: UUID) -> None:
    """Forget everything that a merchant's engine said."""
    await tx.run("DELETE FROM tax_engine_rates WHERE merchant_id = $1", merchant_id)


async def forget_expired(tx: Tx, now: datetime, limit: int) -> int:
    """Forget what is no longer good, at most `limit` rows; how many there were."""
    return await tx.run(
        """
        DELETE FROM tax_engine_rates
         WHERE ctid = ANY (ARRAY(SELECT ctid FROM tax_engine_rates WHERE expires_at <= $1 LIMIT $2))
        """,
        now,
        limit,
    )


async def due(tx: Tx, scope: Scope, until: datetime, limit: int) -> list[Row]:
    """What will be billed until then where a merchant has an engine: for each subscription that is
    due, its customer, the tax points and tax codes of its items and of what waits for its invoice.
    """
    args: list[object] = [until, limit]
    where = "s.test_clock_id IS NULL"
    if scope.test_clock_id is not None:
        where = "s.merchant_id = $3 AND s.test_clock_id = $4"
        args += [scope.merchant_id, scope.test_clock_id]
    return await tx.fetch(
        f"""
        WITH due AS (
            SELECT s.merchant_id, s.id, s.customer_id, s.next_action_at, s.period_start
              FROM tax_engines e JOIN subscriptions s USING (merchant_id)
             WHERE {where} AND s.automatic_tax AND s.parked_at IS NULL AND s.next_action_at <= $1
             ORDER BY s.next_action_at LIMIT $2
        )
        SELECT DISTINCT d.merchant_id, d.customer_id, l.tax_code, t.at
          FROM due d
          JOIN subscription_items i
            ON i.merchant_id = d.merchant_id AND i.subscription_id = d.id AND i.removed_at IS NULL
          JOIN prices p ON p.merchant_id = i.merchant_id AND p.id = i.price_id
          JOIN plans l ON l.merchant_id = p.merchant_id AND l.id = p.plan_id
         CROSS JOIN LATERAL (
               VALUES (CASE p.timing WHEN 'advance' THEN d.next_action_at ELSE d.period_start END)
               ) AS t (at)
        UNION
        SELECT d.merchant_id, d.customer_id, coalesce(w.tax_code, l.tax_code), w.period_start
          FROM due d
          JOIN pending_items w ON w.merchant_id = d.merchant_id AND w.subscription_id = d.id
           AND w.invoice_id IS NULL AND w.deleted_at IS NULL AND w.reverses_line_id IS NULL
          LEFT JOIN prices p ON p.merchant_id = w.merchant_id AND p.id = w.price_id
          LEFT JOIN plans l ON l.merchant_id = p.merchant_id AND l.id = p.plan_id
        """,
        *args,
    )
