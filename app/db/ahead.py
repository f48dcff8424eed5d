"""Periods that are billed before they begin: which are due, what was billed, and what in vain."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from app.db import charged, invoices, payments
from app.db.base import Row, Tx
from app.db.gateway_accounts import OPENING
from app.db.scope import Scope
from app.db.subscriptions import COLUMNS
from app.domain.ahead import Billed
from app.domain.billing_ahead import BILLABLE
from app.domain.crediting import Charged
from app.domain.subscription import Subscription

Key = tuple[UUID, UUID]


class Lead(NamedTuple):
    """How long before its period a debit is billed: at one account, by a type of payment method in
    a currency; None: whatever it is.
    """

    merchant_id: UUID
    gateway_account_id: UUID
    method_type: str | None
    currency: str | None
    lead: timedelta


CANDIDATES: Final = f"""
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::interval[])
           AS d (merchant_id, gateway_account_id, method_type, currency, lead)
      JOIN subscriptions s ON s.merchant_id = d.merchant_id
      JOIN customers c ON c.merchant_id = s.merchant_id AND c.id = s.customer_id
      JOIN payment_methods m ON m.merchant_id = s.merchant_id
       AND m.id = coalesce(s.payment_method_id, c.default_payment_method_id)
       AND m.gateway_account_id = d.gateway_account_id
       AND m.type = coalesce(d.method_type, m.type) AND m.detached_at IS NULL
     WHERE s.currency = coalesce(d.currency, s.currency)
       AND s.status IN ({", ".join(f"'{status}'" for status in sorted(BILLABLE))})
       AND s.next_action_at = s.period_end AND s.parked_at IS NULL
       AND s.collection_method = 'charge_automatically'
       AND s.ahead_invoice_id IS NULL AND s.ahead_start IS DISTINCT FROM s.period_end
"""
"""Subscriptions `s` whose next period is billed ahead, by `_leads`."""


def _leads(leads: Sequence[Lead]) -> list[object]:
    return [
        [lead.merchant_id for lead in leads],
        [lead.gateway_account_id for lead in leads],
        [lead.method_type for lead in leads],
        [lead.currency for lead in leads],
        [lead.lead for lead in leads],
    ]


async def accounts(tx: Tx, gateways: Collection[str]) -> list[Row]:
    """What it takes to open the accounts at these gateways that are in use."""
    return await tx.fetch(
        f"""
        SELECT g.merchant_id, g.id AS gateway_account_id, {OPENING} FROM gateway_accounts g
         WHERE g.gateway = ANY ($1::text[]) AND g.disabled_at IS NULL ORDER BY g.id
        """,
        sorted(gateways),
    )


async def claim_due(
    tx: Tx,
    scope: Scope,
    now: datetime,
    limit: int,
    leads: Sequence[Lead],
    but: Collection[UUID] = (),
) -> list[Row]:
    """Lock up to `limit` subscriptions whose next period is to be billed by now, the next to begin
    first; without those locked already, and without some.
    """
    longest = max(lead.lead for lead in leads)
    where, args = "s.test_clock_id IS NULL", [now, now + longest, list(but), limit]
    if scope.test_clock_id is not None:
        where = "s.merchant_id = $10 AND s.test_clock_id = $11"
        args += [scope.merchant_id, scope.test_clock_id]
    return await tx.fetch(
        f"""
        SELECT {COLUMNS} {CANDIDATES}
           AND s.next_action_at > $6::timestamptz AND s.next_action_at <= $7::timestamptz
           AND s.period_end <= $6::timestamptz + d.lead AND s.id <> ALL ($8::uuid[]) AND {where}
         ORDER BY s.next_action_at LIMIT $9 FOR NO KEY UPDATE OF s SKIP LOCKED
        """,
        *_leads(leads),
        *args,
    )


async def next_due(tx: Tx, scope: Scope, leads: Sequence[Lead]) -> datetime | None:
    """When the next period of a test clock's subscriptions is to be billed ahead."""
    due: datetime | None = await tx.fetchval(
        f"""
        SELECT min(s.period_end - d.lead) {CANDIDATES}
           AND s.merchant_id = $6 AND s.test_clock_id = $7
        """,
        *_leads(leads),
        scope.merchant_id,
        scope.test_clock_id,
    )
    return due


async def leads_of(
    tx: Tx, subscription_ids: Collection[UUID], leads: Sequence[Lead]
) -> dict[UUID, timedelta]:
    """How long before their periods these subscriptions of one merchant are billed, where they
    are billed ahead.
    """
    rows = await tx.fetch(
        f"""
        SELECT s.id, d.lead {CANDIDATES.partition("AND s.status")[0]}
           AND s.merchant_id = current_setting('app.merchant_id')::uuid
           AND s.id = ANY ($6::uuid[])
        """,
        *_leads(leads),
        list(subscription_ids),
    )
    return {row["id"]: row["lead"] for row in rows}


async def claim_in_vain(tx: Tx, scope: Scope, limit: int, but: Collection[UUID] = ()) -> list[Row]:
    """Lock up to `limit` subscriptions of which a period was billed that does not begin as it was
    foreseen, once no payment of it is in flight; without some. While it may yet begin, because a
    cancellation can be taken back, those alone of which nothing was paid.
    """
    return await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM subscriptions s
         WHERE s.ahead_invoice_id IS NOT NULL
           AND (s.ended_at IS NOT NULL OR s.paused_at IS NOT NULL OR s.ahead_start <> s.period_end
                OR s.cancel_at_period_end OR s.cancel_at <= s.ahead_start)
           AND (s.ended_at IS NOT NULL OR s.paused_at IS NOT NULL OR s.ahead_start <> s.period_end
                OR EXISTS (SELECT FROM invoices i WHERE i.merchant_id = s.merchant_id
                              AND i.id = s.ahead_invoice_id AND i.status = 'open'
                              AND i.amount_paid = 0 AND i.amount_credited = 0))
           AND s.test_clock_id IS NOT DISTINCT FROM $1 AND ($2::uuid IS NULL OR s.merchant_id = $2)
           AND s.id <> ALL ($3::uuid[])
           AND NOT EXISTS (SELECT FROM payments p WHERE p.merchant_id = s.merchant_id
                              AND p.invoice_id = s.ahead_invoice_id
                              AND p.status IN ('processing', 'unknown', 'requires_action'))
         ORDER BY s.ahead_start LIMIT $4 FOR NO KEY UPDATE OF s SKIP LOCKED
        """,
        scope.test_clock_id,
        scope.merchant_id,
        list(but),
        limit,
    )


async def bills(tx: Tx, subs: Sequence[Subscription]) -> dict[Key, Billed]:
    """What was billed ahead of each of these, by (merchant, subscription)."""
    wanted = {
        (sub.merchant_id, sub.ahead.invoice_id): (sub.merchant_id, sub.id)
        for sub in subs
        if sub.ahead is not None and sub.ahead.invoice_id is not None
    }
    if not wanted:
        return {}
    keys = sorted(wanted)
    arguments = [key[0] for key in keys], [key[1] for key in keys]
    rows = await tx.fetch(
        f"""
        SELECT {invoices.COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN invoices i USING (merchant_id, id)
        """,
        *arguments,
    )
    lines = await invoices.load_lines(tx, keys)
    left = await _charged(tx, arguments)
    latest = {
        (row["merchant_id"], row["invoice_id"]): payments.payment(row)
        for row in await tx.fetch(
            f"""
            SELECT {payments.COLUMNS} FROM unnest($1::uuid[], $2::uuid[])
                   AS k (merchant_id, invoice_id)
              JOIN payments p USING (merchant_id, invoice_id)
             ORDER BY p.status NOT IN ('succeeded', 'failed', 'canceled', 'reversed'), p.id
            """,
            *arguments,
        )
    }
    return {
        wanted[key]: Billed(
            invoices.invoice(row, lines.get(key, ())), tuple(left[key]), latest.get(key)
        )
        for row in rows
        for key in [(row["merchant_id"], row["id"])]
    }


async def _charged(tx: Tx, arguments: tuple[list[UUID], list[UUID]]) -> dict[Key, list[Charged]]:
    """The lines of each (merchant, invoice), with what was returned of them."""
    rows = await tx.fetch(
        f"""
        SELECT {invoices.LINES}, i.status FROM unnest($1::uuid[], $2::uuid[])
               AS k (merchant_id, invoice_id)
          JOIN invoices i ON i.merchant_id = k.merchant_id AND i.id = k.invoice_id
          JOIN invoice_lines l ON l.merchant_id = i.merchant_id AND l.invoice_id = i.id
               {invoices.OF_LINES}
         WHERE l.kind = 'period' AND l.reverses_line_id IS NULL ORDER BY l.invoice_id, l.position
        """,
        *arguments,
    )
    found: dict[Key, list[Charged]] = defaultdict(list)
    for row, line in zip(rows, await charged.of_lines(tx, rows), strict=True):
        found[row["merchant_id"], row["invoice_id"]].append(line)
    return found


async def names(tx: Tx, subs: Sequence[Subscription]) -> dict[Key, set[datetime]]:
    """The boundaries of the present period of each of these, and to come, that invoices are named
    after.
    """
    rows = await tx.fetch(
        """
        SELECT i.merchant_id, i.subscription_id, i.cycle_start
          FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[])
               AS k (merchant_id, subscription_id, since)
          JOIN invoices i USING (merchant_id, subscription_id)
         WHERE i.cycle_start >= k.since
        """,
        [sub.merchant_id for sub in subs],
        [sub.id for sub in subs],
        [None if sub.period is None else sub.period.start for sub in subs],
    )
    found: dict[Key, set[datetime]] = defaultdict(set)
    for row in rows:
        found[row["merchant_id"], row["subscription_id"]].add(row["cycle_start"])
    return found
