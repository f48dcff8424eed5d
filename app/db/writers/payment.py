"""Payments, and each attempt at them, as rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import bulk, tables
from app.db.base import Tx
from app.domain.payment import Attempt, Payment

PAYMENT_CHANGES: Final = (
    "merchant_id",
    "id",
    "payment_method_id",
    "status",
    "amount",
    "amount_captured",
    "amount_refunded",
    "amount_refund_reserved",
    "attempt_count",
    "failure_code",
    "failure_category",
    "action_url",
    "due_at",
    "postponed_reason",
    "succeeded_at",
    "version",
)
PAYMENT_COLUMNS: Final = (
    *PAYMENT_CHANGES,
    "invoice_id",
    "customer_id",
    "currency",
    "test_clock_id",
    "created_at",
)
OFFLINE_CHANGES: Final = (
    *PAYMENT_CHANGES,
    "amount_to_balance",
    "reversed_at",
    "reversal_reason",
)
OFFLINE_COLUMNS: Final = (
    *PAYMENT_COLUMNS,
    "amount_to_balance",
    "offline_method",
    "reference",
    "note",
    "received_at",
)


def _payment_change(p: Payment) -> bulk.Row:
    return (
        p.merchant_id,
        p.id,
        p.payment_method_id,
        p.status,
        p.amount,
        p.amount_captured,
        p.amount_refunded,
        p.amount_refund_reserved,
        p.attempt_count,
        p.failure_code,
        p.failure_category,
        p.action_url,
        p.due_at,
        p.postponed_reason,
        p.succeeded_at,
        p.version,
    )


async def write(tx: Tx, payments: Sequence[Payment]) -> None:
    """Insert what is new, update what has changed. Raises Stale."""
    by_gateway = [p for p in payments if p.offline is None]
    changed = [_payment_change(p) for p in by_gateway if p.version > 1]
    await bulk.update(tx, tables.payments, PAYMENT_CHANGES, changed)
    fresh = [_new_payment(p) for p in by_gateway if p.version == 1]
    await bulk.insert(tx, tables.payments, PAYMENT_COLUMNS, fresh)
    if len(by_gateway) < len(payments):
        await _write_offline(tx, [p for p in payments if p.offline is not None])


async def _write_offline(tx: Tx, payments: Sequence[Payment]) -> None:
    changed = [
        (*_payment_change(p), p.amount_to_balance, p.reversed_at, p.reversal_reason)
        for p in payments
        if p.version > 1
    ]
    await bulk.update(tx, tables.payments, OFFLINE_CHANGES, changed)
    fresh = [
        (*_new_payment(p), p.amount_to_balance, o.method, o.reference, o.note, o.received_at)
        for p in payments
        if p.version == 1 and (o := p.offline) is not None
    ]
    await bulk.insert(tx, tables.payments, OFFLINE_COLUMNS, fresh)


def _new_payment(p: Payment) -> bulk.Row:
    about = (p.invoice_id, p.customer_id, p.currency, p.test_clock_id, p.created_at)
    return (*_payment_change(p), *about)


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
    "request",
    "created_at",
)


def _attempt_change(a: Attempt) -> bulk.Row:
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


async def write_attempts(tx: Tx, attempts: Sequence[Attempt]) -> None:
    """Insert what is new, update what has changed. Raises Stale, Conflict."""
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
            a.request,
            a.created_at,
        )
        for a in attempts
        if a.version == 1
    ]
    await bulk.insert(tx, tables.payment_attempts, ATTEMPT_COLUMNS, fresh)


async def abandon(tx: Tx, subscriptions: Sequence[tuple[UUID, UUID]], now: datetime) -> None:
    """Nobody waits any more for the customers of payments of these subscriptions, by (merchant,
    id): the next look-up gives them up.
    """
    if subscriptions:
        await tx.run(
            """
            UPDATE payment_attempts a SET void_wanted_at = $3, look_up_at = $3
              FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, subscription_id)
              JOIN invoices i
                ON i.merchant_id = k.merchant_id AND i.subscription_id = k.subscription_id
             WHERE a.merchant_id = i.merchant_id AND a.invoice_id = i.id
               AND a.status = 'requires_action' AND a.void_wanted_at IS NULL
            """,
            [merchant for merchant, _ in subscriptions],
            [subscription for _, subscription in subscriptions],
            now,
        )
