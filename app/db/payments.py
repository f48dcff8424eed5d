"""Payments, attempts and refunds as decisions need them, claimed, locked and loaded."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.db import invoices
from app.db.base import Row, Tx
from app.db.gateway_accounts import OPENING
from app.db.scope import Scope
from app.domain.collection import Bill
from app.domain.errors import NotFound
from app.domain.outcome import DeclineCategory
from app.domain.payment import Attempt, AttemptStatus, Offline, OfflineMethod, Payment, Status
from app.domain.refund import Destination, Refund
from app.domain.refund import Status as RefundStatus

Key = tuple[UUID, UUID]

COLUMNS: Final = """
    p.merchant_id, p.id, p.invoice_id, p.customer_id, p.payment_method_id, p.status, p.currency,
    p.amount, p.amount_captured, p.amount_refunded, p.amount_refund_reserved, p.attempt_count,
    p.failure_code, p.failure_category, p.action_url, p.due_at, p.test_clock_id, p.created_at,
    p.succeeded_at, p.offline_method, p.reference AS offline_reference, p.note, p.received_at,
    p.amount_to_balance, p.reversed_at, p.reversal_reason, p.postponed_reason, p.version
"""
LIVE: Final = "p.status NOT IN ('succeeded', 'canceled', 'failed', 'reversed')"
"""Has not come to its end; in the words of `uq_payments_live`, which it is found by."""
ATTEMPT_COLUMNS: Final = """
    a.merchant_id, a.id, a.payment_id, a.invoice_id, a.gateway_account_id, a.payment_method_id,
    a.ordinal, a.status, a.currency, a.amount, a.reference, a.gateway_reference,
    a.network_transaction_id, a.fee, a.failure_code, a.failure_category, a.gateway_code, a.detail,
    a.look_ups, a.look_up_at, a.created_at, a.settled_at, a.request, a.last_sent_at, a.absent_since,
    a.capture_sent_at, a.void_wanted_at, a.version
"""
REFUND_COLUMNS: Final = """
    r.merchant_id, r.id, r.payment_id, r.invoice_id, r.gateway_account_id, r.destination, r.status,
    r.currency, r.amount, r.reason, r.reference, r.gateway_reference, r.failure_code, r.detail,
    r.look_ups, r.look_up_at, r.created_at, r.settled_at, r.request, r.last_sent_at,
    r.absent_since, r.version
"""


async def claim_due(
    tx: Tx, scope: Scope, now: datetime, limit: int, only: Sequence[UUID] | None = None
) -> list[Payment]:
    """Lock up to `limit` scheduled payments that are due, leaving those locked already.

    `only` narrows it to some ids, on whatever clock they are.
    """
    args: list[object] = [now, limit]
    where = "p.test_clock_id IS NULL"
    if scope.test_clock_id is not None:
        where = "p.merchant_id = $3 AND p.test_clock_id = $4"
        args += [scope.merchant_id, scope.test_clock_id]
    if only is not None:
        where, args = "p.id = ANY ($3::uuid[])", [now, limit, list(only)]
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM payments p
         WHERE {where} AND p.status = 'scheduled' AND p.due_at <= $1
         ORDER BY p.due_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
        """,
        *args,
    )
    return [payment(row) for row in rows]


async def claim_look_ups(
    tx: Tx, scope: Scope, now: datetime, lease: datetime, limit: int
) -> list[Attempt]:
    """Attempts whose outcome is to be asked for now; nobody else asks before `lease`."""
    rows = await tx.fetch(
        f"""
        WITH due AS MATERIALIZED (
            SELECT d.merchant_id, d.id FROM payment_attempts d JOIN payments p
                ON p.merchant_id = d.merchant_id AND p.id = d.payment_id
             WHERE d.look_up_at <= $1 AND p.test_clock_id IS NOT DISTINCT FROM $4
             ORDER BY d.look_up_at LIMIT $3 FOR NO KEY UPDATE OF d SKIP LOCKED)
        UPDATE payment_attempts a SET look_up_at = $2 FROM due
         WHERE a.merchant_id = due.merchant_id AND a.id = due.id
        RETURNING {ATTEMPT_COLUMNS}
        """,
        now,
        lease,
        limit,
        scope.test_clock_id,
    )
    return [attempt(row) for row in rows]


async def claim_refund_look_ups(
    tx: Tx, scope: Scope, now: datetime, lease: datetime, limit: int
) -> list[Refund]:
    """Refunds whose outcome is to be asked for now; nobody else asks before `lease`."""
    rows = await tx.fetch(
        f"""
        WITH due AS MATERIALIZED (
            SELECT d.merchant_id, d.id FROM refunds d JOIN payments p
                ON p.merchant_id = d.merchant_id AND p.id = d.payment_id
             WHERE d.look_up_at <= $1 AND p.test_clock_id IS NOT DISTINCT FROM $4
             ORDER BY d.look_up_at LIMIT $3 FOR NO KEY UPDATE OF d SKIP LOCKED)
        UPDATE refunds r SET look_up_at = $2 FROM due
         WHERE r.merchant_id = due.merchant_id AND r.id = due.id
        RETURNING {REFUND_COLUMNS}
        """,
        now,
        lease,
        limit,
        scope.test_clock_id,
    )
    return [refund(row) for row in rows]


async def load_bills(tx: Tx, payments: Sequence[Payment]) -> list[Bill]:
    """The payments, locked by the caller, with their invoices, locked here in order of id."""
    keys = sorted({(p.merchant_id, p.invoice_id) for p in payments})
    rows = await tx.fetch(
        f"""
        SELECT {invoices.COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN invoices i USING (merchant_id, id) ORDER BY i.id FOR NO KEY UPDATE OF i
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    found = {(row["merchant_id"], row["id"]): invoices.invoice(row) for row in rows}
    return [Bill(found[p.merchant_id, p.invoice_id], p) for p in payments]


async def lock_attempts(tx: Tx, keys: Sequence[Key]) -> list[tuple[Attempt, Payment]]:
    """Attempts by (merchant, id) with their payments, both locked in order of the payment's id."""
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN payment_attempts a USING (merchant_id, id)
          JOIN payments p ON p.merchant_id = a.merchant_id AND p.id = a.payment_id
         ORDER BY p.id FOR NO KEY UPDATE OF p
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    owners = {(row["merchant_id"], row["id"]): payment(row) for row in rows}
    rows = await tx.fetch(
        f"""
        SELECT {ATTEMPT_COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN payment_attempts a USING (merchant_id, id)
         ORDER BY a.payment_id FOR NO KEY UPDATE OF a
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    return [(attempt(row), owners[row["merchant_id"], row["payment_id"]]) for row in rows]


async def load_first_bills(tx: Tx, keys: Sequence[tuple[UUID, UUID | None]]) -> dict[Any, Bill]:
    """The unpaid first invoices of incomplete subscriptions, with lines and payment, locked."""
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, invoice_id)
          JOIN payments p USING (merchant_id, invoice_id)
         WHERE {LIVE}
         ORDER BY p.id FOR NO KEY UPDATE OF p
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    bills = await load_bills(tx, [payment(row) for row in rows])
    lines = await invoices.load_lines(tx, [(b.invoice.merchant_id, b.invoice.id) for b in bills])
    return {
        (b.invoice.merchant_id, b.invoice.id): Bill(
            replace(b.invoice, lines=lines[b.invoice.merchant_id, b.invoice.id]), b.payment
        )
        for b in bills
    }


async def live_of_invoice(tx: Tx, invoice_id: UUID) -> Payment | None:
    """The payment of an invoice that has not come to its end, locked; at most one exists."""
    row = await tx.fetchrow(
        f"""
        SELECT {COLUMNS} FROM payments p
         WHERE p.merchant_id = current_setting('app.merchant_id')::uuid AND p.invoice_id = $1
           AND {LIVE} FOR NO KEY UPDATE
        """,
        invoice_id,
    )
    return None if row is None else payment(row)


async def of_invoice(tx: Tx, invoice_id: UUID) -> list[Payment]:
    """Every payment of an invoice of the transaction's merchant, locked, oldest first."""
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM payments p
         WHERE p.merchant_id = current_setting('app.merchant_id')::uuid AND p.invoice_id = $1
         ORDER BY p.id FOR NO KEY UPDATE
        """,
        invoice_id,
    )
    return [payment(row) for row in rows]


async def of_invoices(tx: Tx, keys: Sequence[Key]) -> list[Payment]:
    """Every payment of these (merchant, invoice), locked, oldest first."""
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, invoice_id)
          JOIN payments p USING (merchant_id, invoice_id) ORDER BY p.id FOR NO KEY UPDATE OF p
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    return [payment(row) for row in rows]


async def lock(tx: Tx, payment_id: UUID) -> Payment:
    """One payment of the transaction's merchant, locked. Raises NotFound."""
    row = await tx.fetchrow(
        f"SELECT {COLUMNS} FROM payments p "
        "WHERE p.merchant_id = current_setting('app.merchant_id')::uuid AND p.id = $1 "
        "FOR NO KEY UPDATE",
        payment_id,
    )
    if row is None:
        raise NotFound("There is no such payment.", code="payment_not_found")
    return payment(row)


async def invoice_of(tx: Tx, payment_id: UUID) -> UUID:
    """Which invoice a payment of the transaction's merchant is of. Raises NotFound."""
    found: UUID | None = await tx.fetchval(
        "SELECT invoice_id FROM payments "
        "WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1",
        payment_id,
    )
    if found is None:
        raise NotFound("There is no such payment.", code="payment_not_found")
    return found


async def captured_attempt(tx: Tx, paid: Payment) -> Attempt | None:
    """The attempt that captured a payment."""
    row = await tx.fetchrow(
        f"""
        SELECT {ATTEMPT_COLUMNS} FROM payment_attempts a
         WHERE a.merchant_id = $1 AND a.payment_id = $2 AND a.status = 'succeeded'
        """,
        paid.merchant_id,
        paid.id,
    )
    return None if row is None else attempt(row)


async def in_flight(tx: Tx, flying: Payment) -> Attempt | None:
    """The attempt of a payment that is in flight; at most one is."""
    row = await tx.fetchrow(
        f"""
        SELECT {ATTEMPT_COLUMNS} FROM payment_attempts a
         WHERE a.merchant_id = $1 AND a.payment_id = $2
           AND a.status IN ('processing', 'unknown', 'requires_action') FOR NO KEY UPDATE
        """,
        flying.merchant_id,
        flying.id,
    )
    return None if row is None else attempt(row)


async def waiting_for_customer(tx: Tx, subscription_id: UUID) -> UUID | None:
    """A payment of this subscription of the transaction's merchant that waits for its customer."""
    found: UUID | None = await tx.fetchval(
        """
        SELECT p.id FROM payments p JOIN invoices i USING (merchant_id)
         WHERE p.merchant_id = current_setting('app.merchant_id')::uuid AND i.id = p.invoice_id
           AND i.subscription_id = $1 AND p.status = 'requires_action' LIMIT 1
        """,
        subscription_id,
    )
    return found


async def lock_refund(tx: Tx, key: Key) -> tuple[Refund, Payment]:
    """A refund and its payment, both locked. Raises NotFound."""
    row = await tx.fetchrow(
        f"SELECT {COLUMNS} FROM refunds r JOIN payments p "
        "ON p.merchant_id = r.merchant_id AND p.id = r.payment_id "
        "WHERE r.merchant_id = $1 AND r.id = $2 FOR NO KEY UPDATE OF p",
        *key,
    )
    if row is None:
        raise NotFound("There is no such refund.", code="refund_not_found")
    of = await tx.fetchrow(
        f"SELECT {REFUND_COLUMNS} FROM refunds r WHERE r.merchant_id = $1 AND r.id = $2 "
        "FOR NO KEY UPDATE",
        *key,
    )
    assert of is not None
    return refund(of), payment(row)


def payment(row: Row) -> Payment:
    """The payment that a row of `payments` stands for."""
    category = row["failure_category"]
    return Payment(
        id=row["id"],
        merchant_id=row["merchant_id"],
        invoice_id=row["invoice_id"],
        customer_id=row["customer_id"],
        payment_method_id=row["payment_method_id"],
        status=Status(row["status"]),
        currency=row["currency"],
        amount=row["amount"],
        created_at=row["created_at"],
        due_at=row["due_at"],
        amount_captured=row["amount_captured"],
        amount_refunded=row["amount_refunded"],
        amount_refund_reserved=row["amount_refund_reserved"],
        attempt_count=row["attempt_count"],
        failure_code=row["failure_code"],
        failure_category=None if category is None else DeclineCategory(category),
        action_url=row["action_url"],
        test_clock_id=row["test_clock_id"],
        succeeded_at=row["succeeded_at"],
        offline=_offline(row),
        amount_to_balance=row["amount_to_balance"],
        reversed_at=row["reversed_at"],
        reversal_reason=row["reversal_reason"],
        postponed_reason=row["postponed_reason"],
        version=row["version"],
    )


def _offline(row: Row) -> Offline | None:
    if row["offline_method"] is None:
        return None
    method = OfflineMethod(row["offline_method"])
    return Offline(method, row["received_at"], row["offline_reference"], row["note"])


def attempt(row: Row) -> Attempt:
    """The attempt that a row of `payment_attempts` stands for."""
    category = row["failure_category"]
    return Attempt(
        id=row["id"],
        merchant_id=row["merchant_id"],
        payment_id=row["payment_id"],
        invoice_id=row["invoice_id"],
        gateway_account_id=row["gateway_account_id"],
        payment_method_id=row["payment_method_id"],
        ordinal=row["ordinal"],
        status=AttemptStatus(row["status"]),
        currency=row["currency"],
        amount=row["amount"],
        reference=row["reference"],
        created_at=row["created_at"],
        gateway_reference=row["gateway_reference"],
        network_transaction_id=row["network_transaction_id"],
        fee=row["fee"],
        failure_code=row["failure_code"],
        failure_category=None if category is None else DeclineCategory(category),
        gateway_code=row["gateway_code"],
        detail=row["detail"],
        look_ups=row["look_ups"],
        look_up_at=row["look_up_at"],
        settled_at=row["settled_at"],
        request=row["request"],
        last_sent_at=row["last_sent_at"],
        absent_since=row["absent_since"],
        capture_sent_at=row["capture_sent_at"],
        void_wanted_at=row["void_wanted_at"],
        version=row["version"],
    )


def refund(row: Row) -> Refund:
    """The refund that a row of `refunds` stands for."""
    return Refund(
        id=row["id"],
        merchant_id=row["merchant_id"],
        payment_id=row["payment_id"],
        invoice_id=row["invoice_id"],
        gateway_account_id=row["gateway_account_id"],
        destination=Destination(row["destination"]),
        status=RefundStatus(row["status"]),
        currency=row["currency"],
        amount=row["amount"],
        reference=row["reference"],
        created_at=row["created_at"],
        reason=row["reason"],
        gateway_reference=row["gateway_reference"],
        failure_code=row["failure_code"],
        detail=row["detail"],
        look_ups=row["look_ups"],
        look_up_at=row["look_up_at"],
        settled_at=row["settled_at"],
        request=row["request"],
        last_sent_at=row["last_sent_at"],
        absent_since=row["absent_since"],
        version=row["version"],
    )


async def methods(tx: Tx, keys: Sequence[Key], *, usable: bool = True) -> dict[Key, Row]:
    """The payment methods with these (merchant, id), each with its gateway account.

    Usable means: neither detached nor of an account that is closed.
    """
    wanted = sorted(set(keys))
    rows = await tx.fetch(
        f"""
        SELECT m.merchant_id, m.id, m.gateway_account_id, m.gateway_reference, m.type,
               m.gateway_customer_reference, m.network_transaction_id, m.refused_at,
               m.network_transaction_amount, m.customer_id, c.email, c.name, c.country, {OPENING}
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN payment_methods m USING (merchant_id, id)
          JOIN customers c ON c.merchant_id = m.merchant_id AND c.id = m.customer_id
          JOIN gateway_accounts g
            ON g.merchant_id = m.merchant_id AND g.id = m.gateway_account_id
         WHERE NOT $3 OR (m.detached_at IS NULL AND m.is_usable AND g.disabled_at IS NULL)
        """,
        [k[0] for k in wanted],
        [k[1] for k in wanted],
        usable,
    )
    return {(row["merchant_id"], row["id"]): row for row in rows}


async def subscriptions_to_settle(
    tx: Tx, keys: Sequence[Key], declined: Sequence[Key]
) -> dict[Key, list[Key]]:
    """Attempt -> subscriptions, for those whose subscriptions the outcome may change.

    A success changes one that is behind; a decline any. Most renewals succeed and need none.
    """
    rows = await tx.fetch(
        f"""
        SELECT a.merchant_id, a.id, b.subscription_id
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN payment_attempts a USING (merchant_id, id)
          JOIN {invoices.BILLS} b
            ON b.merchant_id = a.merchant_id AND b.invoice_id = a.invoice_id
          JOIN subscriptions s ON s.merchant_id = b.merchant_id AND s.id = b.subscription_id
         WHERE s.status <> 'active' OR a.id = ANY ($3::uuid[])
         ORDER BY b.subscription_id
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
        [k[1] for k in declined],
    )
    found: dict[Key, list[Key]] = defaultdict(list)
    for row in rows:
        merchant = row["merchant_id"]
        found[merchant, row["id"]].append((merchant, row["subscription_id"]))
    return found


async def next_due(tx: Tx, scope: Scope) -> datetime | None:
    """When the next payment, or the next look-up of one or of a refund, is due on a test clock."""
    due: datetime | None = await tx.fetchval(
        """
        SELECT least(
            (SELECT min(due_at) FROM payments
              WHERE merchant_id = $1 AND test_clock_id = $2 AND status = 'scheduled'),
            (SELECT min(a.look_up_at) FROM payment_attempts a JOIN payments p
                ON p.merchant_id = a.merchant_id AND p.id = a.payment_id
              WHERE a.merchant_id = $1 AND p.test_clock_id = $2 AND a.look_up_at IS NOT NULL),
            (SELECT min(r.look_up_at) FROM refunds r JOIN payments p
                ON p.merchant_id = r.merchant_id AND p.id = r.payment_id
              WHERE r.merchant_id = $1 AND p.test_clock_id = $2 AND r.look_up_at IS NOT NULL))
        """,
        scope.merchant_id,
        scope.test_clock_id,
    )
    return due


async def refund_calls(tx: Tx, keys: Sequence[Key]) -> dict[Key, Row]:
    """For each refund: its gateway account, and the gateway's name of the payment it is of."""
    rows = await tx.fetch(
        f"""
        SELECT r.merchant_id, r.id, g.id AS gateway_account_id, {OPENING},
               a.gateway_reference AS payment_reference, a.amount AS payment_amount, m.last_four
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN refunds r USING (merchant_id, id)
          JOIN gateway_accounts g
            ON g.merchant_id = r.merchant_id AND g.id = r.gateway_account_id
          JOIN payment_attempts a
            ON a.merchant_id = r.merchant_id AND a.payment_id = r.payment_id
           AND a.status = 'succeeded'
          JOIN payment_methods m
            ON m.merchant_id = a.merchant_id AND m.id = a.payment_method_id
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    return {(row["merchant_id"], row["id"]): row for row in rows}
