"""`record`: the only writer of money rows. One decision or a thousand, in the same statements."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias
from uuid import UUID

import orjson

from app.db import bulk, tables
from app.db.base import Tx, dumps
from app.domain.balance import BalanceEntry
from app.domain.decision import Decision, DiscountUse
from app.domain.errors import Stale
from app.domain.event import Event, Type
from app.domain.invoice import Invoice, Status
from app.domain.ledger import Entry
from app.domain.payment import Attempt, Payment
from app.domain.refund import Refund
from app.domain.subscription import Subscription

Row: TypeAlias = tuple[Any, ...]
DEFAULT_PREFIX: Final = "INV-"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the database added: the number and place in its series of each finalized invoice."""

    numbers: dict[UUID, tuple[int, str]] = field(default_factory=dict)
    invoices: int = 0
    payments: int = 0


async def record(tx: Tx, decisions: Sequence[Decision], now: datetime) -> Recorded:
    """Write everything that `decisions` want to be true. Raises Stale, Conflict.

    New rows have version 1; changed ones must still have the version before theirs. Invoice
    numbers are taken last of all, so that the lock on a series is held as briefly as can be.
    """
    await _record_subscriptions(tx, [s for d in decisions for s in d.subscriptions])
    await _record_discounts(tx, [u for d in decisions for u in d.discounts])
    await _record_balances(tx, [b for d in decisions for b in d.balances], now)
    await _record_entries(tx, [e for d in decisions for e in d.entries], now)
    invoices = [i for d in decisions for i in d.invoices]
    numbers = await _numbers(tx, [i for i in invoices if _wants_number(i)])
    await _record_invoices(tx, invoices, numbers)
    payments = [p for d in decisions for p in d.payments]
    await _record_payments(tx, payments)
    await _record_attempts(tx, [a for d in decisions for a in d.attempts])
    await _record_refunds(tx, [r for d in decisions for r in d.refunds])
    await _record_events(tx, [e for d in decisions for e in d.events], numbers, now)
    return Recorded(numbers, len(invoices), len(payments))


def _wants_number(invoice: Invoice) -> bool:
    return invoice.number is None and invoice.status is not Status.DRAFT


async def _numbers(tx: Tx, invoices: Sequence[Invoice]) -> dict[UUID, tuple[int, str]]:
    """The next numbers of each invoice's series, without gaps: the row lock lasts to the commit."""
    wanted = Counter((i.order.merchant_id, i.order.series) for i in invoices)
    if not wanted:
        return {}
    keys = sorted(wanted)
    columns = ([k[0] for k in keys], [k[1] for k in keys], [wanted[k] for k in keys])
    taken = await tx.fetch(TAKE_NUMBERS, *columns)
    if len(taken) < len(keys):
        rows = [(merchant, series, DEFAULT_PREFIX) for merchant, series in keys]
        series_columns = ("merchant_id", "series", "prefix")
        await bulk.insert(tx, tables.invoice_series, series_columns, rows, "ON CONFLICT DO NOTHING")
        have = {(row["merchant_id"], row["series"]) for row in taken}
        rest = [k for k in keys if k not in have]
        columns = ([k[0] for k in rest], [k[1] for k in rest], [wanted[k] for k in rest])
        taken += await tx.fetch(TAKE_NUMBERS, *columns)
    following = {(r["merchant_id"], r["series"]): (r["first_number"], r["prefix"]) for r in taken}
    numbers = {}
    for invoice in invoices:
        key = (invoice.order.merchant_id, invoice.order.series)
        number, prefix = following[key]
        following[key] = (number + 1, prefix)
        numbers[invoice.id] = (number, f"{prefix}{number:06d}")
    return numbers


TAKE_NUMBERS: Final = """
    WITH wanted AS (
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS w (merchant_id, series, n)
    ), locked AS (
        SELECT s.merchant_id, s.series, w.n FROM invoice_series s JOIN wanted w USING (merchant_id, series)
         ORDER BY s.merchant_id, s.series FOR UPDATE OF s
    )
    UPDATE invoice_series s SET next_number = s.next_number + locked.n FROM locked
     WHERE s.merchant_id = locked.merchant_id AND s.series = locked.series
    RETURNING s.merchant_id, s.series, s.prefix, s.next_number - locked.n AS first_number
"""


# ── subscriptions ─────────────────────────────────────────────────────────────────────────────────

SUBSCRIPTION_CHANGES: Final = (
    "merchant_id",
    "id",
    "status",
    "interval_unit",
    "interval_count",
    "anchor",
    "period_start",
    "period_end",
    "period_index",
    "collection_method",
    "net_days",
    "payment_method_id",
    "trial_end",
    "expires_at",
    "cancel_at",
    "cancel_at_period_end",
    "canceled_at",
    "ended_at",
    "latest_invoice_id",
    "next_action_at",
    "version",
)
SUBSCRIPTION_COLUMNS: Final = (
    *SUBSCRIPTION_CHANGES,
    "customer_id",
    "external_id",
    "currency",
    "zone",
    "start_at",
    "test_clock_id",
    "metadata",
    "created_at",
)


def _subscription_change(s: Subscription) -> Row:
    return (
        s.merchant_id,
        s.id,
        s.status,
        s.interval.unit,
        s.interval.count,
        s.anchor,
        s.period.start if s.period else None,
        s.period.end if s.period else None,
        s.period_index,
        s.collection,
        s.net_days,
        s.payment_method_id,
        s.trial_end,
        s.expires_at,
        s.cancel_at,
        s.cancel_at_period_end,
        s.canceled_at,
        s.ended_at,
        s.latest_invoice_id,
        s.next_action_at,
        s.version,
    )


async def _record_subscriptions(tx: Tx, subs: Sequence[Subscription]) -> None:
    changed = [_subscription_change(s) for s in subs if s.version > 1]
    await bulk.update(tx, tables.subscriptions, SUBSCRIPTION_CHANGES, changed)
    fresh = [s for s in subs if s.version == 1]
    if not fresh:
        return
    rows = [
        (
            *_subscription_change(s),
            s.customer_id,
            s.external_id,
            s.currency,
            s.zone,
            s.start_at,
            s.test_clock_id,
            dumps(s.metadata),
            s.created_at,
        )
        for s in fresh
    ]
    await bulk.insert(tx, tables.subscriptions, SUBSCRIPTION_COLUMNS, rows)
    await bulk.insert(
        tx,
        tables.subscription_items,
        ("merchant_id", "id", "subscription_id", "price_id", "quantity", "position"),
        [
            (s.merchant_id, item.id, s.id, item.price.id, item.quantity, place)
            for s in fresh
            for place, item in enumerate(s.items)
        ],
    )
    await bulk.insert(
        tx,
        tables.subscription_tax_rates,
        ("merchant_id", "subscription_id", "tax_rate_id", "position"),
        [
            (s.merchant_id, s.id, rate.id, place)
            for s in fresh
            for place, rate in enumerate(s.rates)
        ],
    )
    await bulk.insert(
        tx,
        tables.discounts,
        (
            "merchant_id",
            "id",
            "subscription_id",
            "coupon_id",
            "periods_remaining",
            "position",
            "created_at",
        ),
        [
            (s.merchant_id, d.id, s.id, d.coupon.id, d.periods_remaining, place, s.created_at)
            for s in fresh
            for place, d in enumerate(s.discounts)
        ],
    )


async def _record_discounts(tx: Tx, uses: Sequence[DiscountUse]) -> None:
    if not uses:
        return
    await tx.run(
        """
        UPDATE discounts AS d
           SET periods_remaining = v.left_over,
               ended_at = CASE WHEN v.left_over = 0 THEN v.at END
          FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::timestamptz[])
               AS v (merchant_id, id, left_over, at)
         WHERE d.merchant_id = v.merchant_id AND d.id = v.id
        """,
        [u.merchant_id for u in uses],
        [u.id for u in uses],
        [u.periods_remaining for u in uses],
        [u.at for u in uses],
    )


# ── balances and ledger ───────────────────────────────────────────────────────────────────────────


BALANCE_TRANSACTION_COLUMNS: Final = (
    "merchant_id",
    "id",
    "customer_id",
    "currency",
    "type",
    "amount",
    "ending_balance",
    "invoice_id",
    "description",
    "created_at",
)


async def _record_balances(tx: Tx, entries: Sequence[BalanceEntry], now: datetime) -> None:
    if not entries:
        return
    moves: dict[tuple[UUID, UUID, str], tuple[int, int]] = {}
    for entry in entries:
        key = (entry.merchant_id, entry.customer_id, entry.currency)
        start = moves[key][0] if key in moves else entry.ending - entry.amount
        moves[key] = (start, entry.ending)
    keys = sorted(moves)
    touched = await tx.run(
        """
        INSERT INTO customer_balances AS b (merchant_id, customer_id, currency, balance)
        SELECT merchant_id, customer_id, currency, ending
          FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[])
               AS v (merchant_id, customer_id, currency, ending)
        ON CONFLICT (merchant_id, customer_id, currency) DO UPDATE
           SET balance = excluded.balance, version = b.version + 1
         WHERE b.balance = ($5::jsonb ->> (b.customer_id || b.currency))::bigint
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
        [k[2] for k in keys],
        [moves[k][1] for k in keys],
        dumps(
            {
                f"{customer}{currency}": moves[m, customer, currency][0]
                for m, customer, currency in keys
            }
        ),
    )
    if touched != len(keys):
        raise Stale("The customer's balance was changed by another request in the meantime.")
    await bulk.insert(
        tx,
        tables.balance_transactions,
        BALANCE_TRANSACTION_COLUMNS,
        [
            (
                b.merchant_id,
                b.id,
                b.customer_id,
                b.currency,
                b.type,
                b.amount,
                b.ending,
                b.invoice_id,
                b.description,
                now,
            )
            for b in entries
        ],
    )


async def _record_entries(tx: Tx, entries: Sequence[Entry], now: datetime) -> None:
    if not entries:
        return
    accounts = {(e.merchant_id, e.debit, e.currency) for e in entries}
    accounts.update((e.merchant_id, e.credit, e.currency) for e in entries)
    await bulk.insert(
        tx,
        tables.ledger_accounts,
        ("merchant_id", "code", "currency", "created_at"),
        [(*account, now) for account in sorted(accounts)],
        "ON CONFLICT DO NOTHING",
    )
    await bulk.insert(
        tx,
        tables.ledger_entries,
        (
            "merchant_id",
            "id",
            "source",
            "source_id",
            "debit",
            "credit",
            "currency",
            "amount",
            "effective_at",
        ),
        [
            (
                e.merchant_id,
                e.id,
                e.source,
                e.source_id,
                e.debit,
                e.credit,
                e.currency,
                e.amount,
                now,
            )
            for e in entries
        ],
    )


# ── invoices ──────────────────────────────────────────────────────────────────────────────────────

INVOICE_COLUMNS: Final = (
    "merchant_id",
    "id",
    "customer_id",
    "subscription_id",
    "status",
    "series",
    "series_number",
    "number",
    "currency",
    "billing_reason",
    "cycle_start",
    "period_start",
    "period_end",
    "collection_method",
    "subtotal",
    "discount_total",
    "tax_total",
    "tax_added",
    "total",
    "balance_applied",
    "amount_due",
    "amount_paid",
    "due_at",
    "created_at",
    "finalized_at",
    "paid_at",
    "test_clock_id",
    "version",
)
INVOICE_CHANGES: Final = (
    "merchant_id",
    "id",
    "status",
    "amount_paid",
    "paid_at",
    "voided_at",
    "version",
)


def _invoice(i: Invoice, number: tuple[int, str] | tuple[None, None]) -> Row:
    o = i.order
    return (
        o.merchant_id,
        i.id,
        o.customer_id,
        o.subscription_id,
        i.status,
        o.series,
        *number,
        o.currency,
        o.reason,
        o.cycle_start,
        o.period.start,
        o.period.end,
        o.collection,
        i.subtotal,
        i.discount_total,
        i.tax_total,
        i.tax_added,
        i.total,
        i.balance_applied,
        i.amount_due,
        i.amount_paid,
        i.due_at,
        i.created_at,
        i.finalized_at,
        i.paid_at,
        o.test_clock_id,
        i.version,
    )


async def _record_invoices(
    tx: Tx, invoices: Sequence[Invoice], numbers: dict[UUID, tuple[int, str]]
) -> None:
    changed = [
        (i.merchant_id, i.id, i.status, i.amount_paid, i.paid_at, i.voided_at, i.version)
        for i in invoices
        if i.version > 1
    ]
    await bulk.update(tx, tables.invoices, INVOICE_CHANGES, changed)
    fresh = [i for i in invoices if i.version == 1]
    if not fresh:
        return
    none = (None, None)
    rows = [_invoice(i, numbers.get(i.id, none)) for i in fresh]
    await bulk.insert(tx, tables.invoices, INVOICE_COLUMNS, rows)
    await _record_lines(tx, fresh)


async def _record_lines(tx: Tx, invoices: Iterable[Invoice]) -> None:
    lines: list[Row] = []
    discounts: list[Row] = []
    taxes: list[Row] = []
    for invoice in invoices:
        merchant = invoice.order.merchant_id
        for line in invoice.lines:
            charge = line.charge
            lines.append(
                (
                    merchant,
                    line.id,
                    invoice.id,
                    line.position,
                    charge.kind,
                    charge.item_id,
                    charge.price_id,
                    charge.description,
                    charge.quantity,
                    charge.period.start,
                    charge.period.end,
                    charge.amount,
                    line.discount_amount,
                    line.tax_amount,
                )
            )
            for off in line.discounts:
                discounts.append((merchant, line.id, off.discount_id, off.amount))
            for tax in line.taxes:
                rate = tax.rate
                taxes.append(
                    (
                        merchant,
                        line.id,
                        rate.id,
                        rate.rate_ppm,
                        rate.inclusive,
                        tax.taxable,
                        tax.amount,
                    )
                )
    await bulk.insert(tx, tables.invoice_lines, LINE_COLUMNS, lines)
    await bulk.insert(tx, tables.invoice_line_discounts, LINE_DISCOUNT_COLUMNS, discounts)
    await bulk.insert(tx, tables.invoice_line_taxes, LINE_TAX_COLUMNS, taxes)


LINE_COLUMNS: Final = (
    "merchant_id",
    "id",
    "invoice_id",
    "position",
    "kind",
    "subscription_item_id",
    "price_id",
    "description",
    "quantity",
    "period_start",
    "period_end",
    "amount",
    "discount_amount",
    "tax_amount",
)
LINE_DISCOUNT_COLUMNS: Final = ("merchant_id", "line_id", "discount_id", "amount")
LINE_TAX_COLUMNS: Final = (
    "merchant_id",
    "line_id",
    "tax_rate_id",
    "rate_ppm",
    "inclusive",
    "taxable_amount",
    "amount",
)


# ── payments, attempts, refunds ───────────────────────────────────────────────────────────────────

PAYMENT_CHANGES: Final = (
    "merchant_id",
    "id",
    "payment_method_id",
    "status",
    "amount_captured",
    "amount_refunded",
    "amount_refund_reserved",
    "attempt_count",
    "failure_code",
    "failure_category",
    "action_url",
    "due_at",
    "succeeded_at",
    "version",
)
PAYMENT_COLUMNS: Final = (
    *PAYMENT_CHANGES,
    "invoice_id",
    "customer_id",
    "currency",
    "amount",
    "test_clock_id",
    "created_at",
)


def _payment_change(p: Payment) -> Row:
    return (
        p.merchant_id,
        p.id,
        p.payment_method_id,
        p.status,
        p.amount_captured,
        p.amount_refunded,
        p.amount_refund_reserved,
        p.attempt_count,
        p.failure_code,
        p.failure_category,
        p.action_url,
        p.due_at,
        p.succeeded_at,
        p.version,
    )


async def _record_payments(tx: Tx, payments: Sequence[Payment]) -> None:
    changed = [_payment_change(p) for p in payments if p.version > 1]
    await bulk.update(tx, tables.payments, PAYMENT_CHANGES, changed)
    fresh = [
        (
            *_payment_change(p),
            p.invoice_id,
            p.customer_id,
            p.currency,
            p.amount,
            p.test_clock_id,
            p.created_at,
        )
        for p in payments
        if p.version == 1
    ]
    await bulk.insert(tx, tables.payments, PAYMENT_COLUMNS, fresh)


ATTEMPT_CHANGES: Final = (
    "merchant_id",
    "id",
    "status",
    "gateway_reference",
    "network_transaction_id",
    "fee",
    "failure_code",
    "failure_category",
    "gateway_code",
    "detail",
    "look_ups",
    "look_up_at",
    "settled_at",
    "version",
)
ATTEMPT_COLUMNS: Final = (
    *ATTEMPT_CHANGES,
    "payment_id",
    "invoice_id",
    "gateway_account_id",
    "payment_method_id",
    "ordinal",
    "currency",
    "amount",
    "idempotency_key",
    "reference",
    "created_at",
)


def _attempt_change(a: Attempt) -> Row:
    return (
        a.merchant_id,
        a.id,
        a.status,
        a.gateway_reference,
        a.network_transaction_id,
        a.fee,
        a.failure_code,
        a.failure_category,
        a.gateway_code,
        a.detail,
        a.look_ups,
        a.look_up_at,
        a.settled_at,
        a.version,
    )


async def _record_attempts(tx: Tx, attempts: Sequence[Attempt]) -> None:
    changed = [_attempt_change(a) for a in attempts if a.version > 1]
    await bulk.update(tx, tables.payment_attempts, ATTEMPT_CHANGES, changed)
    fresh = [
        (
            *_attempt_change(a),
            a.payment_id,
            a.invoice_id,
            a.gateway_account_id,
            a.payment_method_id,
            a.ordinal,
            a.currency,
            a.amount,
            a.idempotency_key,
            a.reference,
            a.created_at,
        )
        for a in attempts
        if a.version == 1
    ]
    await bulk.insert(tx, tables.payment_attempts, ATTEMPT_COLUMNS, fresh)


REFUND_CHANGES: Final = (
    "merchant_id",
    "id",
    "status",
    "gateway_reference",
    "failure_code",
    "detail",
    "look_ups",
    "look_up_at",
    "settled_at",
    "version",
)
REFUND_COLUMNS: Final = (
    *REFUND_CHANGES,
    "payment_id",
    "invoice_id",
    "gateway_account_id",
    "currency",
    "amount",
    "reason",
    "idempotency_key",
    "reference",
    "created_at",
)


def _refund_change(r: Refund) -> Row:
    return (
        r.merchant_id,
        r.id,
        r.status,
        r.gateway_reference,
        r.failure_code,
        r.detail,
        r.look_ups,
        r.look_up_at,
        r.settled_at,
        r.version,
    )


async def _record_refunds(tx: Tx, refunds: Sequence[Refund]) -> None:
    changed = [_refund_change(r) for r in refunds if r.version > 1]
    await bulk.update(tx, tables.refunds, REFUND_CHANGES, changed)
    fresh = [
        (
            *_refund_change(r),
            r.payment_id,
            r.invoice_id,
            r.gateway_account_id,
            r.currency,
            r.amount,
            r.reason,
            r.idempotency_key,
            r.reference,
            r.created_at,
        )
        for r in refunds
        if r.version == 1
    ]
    await bulk.insert(tx, tables.refunds, REFUND_COLUMNS, fresh)


# ── events ────────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=64)
def _object(type_: Type) -> str:
    return type_.partition(".")[0]


async def _record_events(
    tx: Tx, events: Sequence[Event], numbers: dict[UUID, tuple[int, str]], now: datetime
) -> None:
    await bulk.insert(
        tx,
        tables.events,
        (
            "merchant_id",
            "id",
            "type",
            "object",
            "object_id",
            "object_version",
            "data",
            "previous",
            "created_at",
        ),
        list(_events(events, numbers, now)),
    )


def _events(
    events: Iterable[Event], numbers: dict[UUID, tuple[int, str]], now: datetime
) -> Iterator[Row]:
    for event in events:
        subject = event.subject
        data = subject.snapshot()
        number = numbers.get(subject.id)
        if number is not None:
            data["number"] = number[1]
        yield (
            subject.merchant_id,
            event.id,
            event.type,
            _object(event.type),
            subject.id,
            subject.version,
            orjson.dumps(data, default=str).decode(),
            None if event.previous is None else dumps(event.previous),
            now,
        )
