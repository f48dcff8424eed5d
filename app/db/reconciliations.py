"""Comparisons with gateways' books as rows, and both our side of them and what they found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.db.base import Row, Tx, dumps
from app.db.gateway_accounts import OPENING
from app.domain.payment import AttemptStatus
from app.domain.reconciling import Difference, Kind, OurCharge, OurRefund, Repair
from app.domain.refund import Status as RefundStatus
from app.ids import new_id

Place = tuple[UUID, UUID]
"""A merchant and one of its gateway accounts."""
DIFFERENCES_MAX: Final = 500
"""Differences taken up in one run of a worker."""
TAKEN: Final = [Kind.CHARGE_UNKNOWN_HERE, Kind.CHARGED_TWICE, Kind.CHARGE_AFTER_CLOSING]
"""What one charge at the gateway may be found as that is not in our books."""
LEASE: Final = timedelta(minutes=10)
"""Longer than a gateway's list takes to read; a run that died is taken up again after it."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """A comparison to be made, of `[start, end)`."""

    id: UUID
    gateway_account_id: UUID
    start: datetime
    end: datetime


async def insert(tx: Tx, merchant_id: UUID, run: NewRun, now: datetime) -> None:
    """Store a comparison that waits for its turn."""
    await tx.run(
        """
        INSERT INTO reconciliations
            (merchant_id, id, gateway_account_id, status, window_start, window_end, created_at)
        VALUES ($1, $2, $3, 'pending', $4, $5, $6)
        """,
        merchant_id,
        run.id,
        run.gateway_account_id,
        run.start,
        run.end,
        now,
    )


async def claim(tx: Tx, now: datetime, only: UUID | None = None) -> Row | None:
    """Take up the oldest comparison that waits, or `only`, with what opens its account."""
    return await tx.fetchrow(
        f"""
        WITH next AS (
            SELECT merchant_id, id FROM reconciliations
             WHERE (status = 'pending' OR (status = 'running' AND lease_until < $1))
               AND ($3::uuid IS NULL OR id = $3)
             ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE reconciliations r SET status = 'running', lease_until = $2 FROM next
             WHERE r.merchant_id = next.merchant_id AND r.id = next.id
            RETURNING r.*
        )
        SELECT t.merchant_id, t.id, t.gateway_account_id, t.window_start, t.window_end, {OPENING}
          FROM taken t JOIN gateway_accounts g
            ON g.merchant_id = t.merchant_id AND g.id = t.gateway_account_id
        """,
        now,
        now + LEASE,
        only,
    )


async def finish(
    tx: Tx, run: Row, status: str, counts: tuple[int, int, int], detail: str | None, now: datetime
) -> None:
    """Note how a comparison ended: charges and refunds there, and differences."""
    await tx.run(
        """
        UPDATE reconciliations
           SET status = $3, charges_there = $4, refunds_there = $5, differences = $6,
               detail = $7, finished_at = $8, lease_until = NULL
         WHERE merchant_id = $1 AND id = $2
        """,
        run["merchant_id"],
        run["id"],
        status,
        *counts,
        detail,
        now,
    )


async def due_accounts(tx: Tx, since: datetime) -> list[Row]:
    """The open accounts without a comparison since then, and up to when the last one went."""
    return await tx.fetch(
        """
        SELECT g.merchant_id, g.id, g.gateway, g.created_at,
               (SELECT max(r.window_end) FROM reconciliations r
                 WHERE r.merchant_id = g.merchant_id AND r.gateway_account_id = g.id
                   AND r.status = 'succeeded') AS compared_until
          FROM gateway_accounts g
         WHERE g.disabled_at IS NULL AND NOT EXISTS (
               SELECT FROM reconciliations r
                WHERE r.merchant_id = g.merchant_id AND r.gateway_account_id = g.id
                  AND r.created_at >= $1)
         ORDER BY g.id
        """,
        since,
    )


async def open_accounts(tx: Tx, merchant_id: UUID | None) -> list[Row]:
    """Every open account, or one merchant's."""
    return await tx.fetch(
        "SELECT merchant_id, id, gateway FROM gateway_accounts "
        "WHERE disabled_at IS NULL AND ($1::uuid IS NULL OR merchant_id = $1) ORDER BY id",
        merchant_id,
    )


async def hasten(tx: Tx, merchant_id: UUID, account_id: UUID, now: datetime) -> None:
    """Whatever is in flight on an account is looked up at once, also what waits for a person; what
    is on a test clock keeps to its time.
    """
    for table, open_ in (
        ("payment_attempts", "'processing', 'unknown', 'requires_action'"),
        ("refunds", "'processing', 'unknown'"),
    ):
        await tx.run(
            f"""
            UPDATE {table} t SET look_up_at = $3 FROM payments p
             WHERE t.merchant_id = $1 AND t.gateway_account_id = $2 AND t.status IN ({open_})
               AND (t.look_up_at IS NULL OR t.look_up_at > $3)
               AND t.created_at < $3 - interval '3 minutes'
               AND p.merchant_id = t.merchant_id AND p.id = t.payment_id
               AND p.test_clock_id IS NULL
            """,
            merchant_id,
            account_id,
            now,
        )


async def charges(
    tx: Tx, run: Row, references: tuple[Sequence[str], Sequence[str]]
) -> list[OurCharge]:
    """Our attempts of the window, and those that the gateway's list names, whenever they were."""
    rows = await tx.fetch(
        """
        SELECT id, payment_id, status, amount, currency, reference, gateway_reference, created_at,
               fee
          FROM payment_attempts
         WHERE merchant_id = $1 AND gateway_account_id = $2
           AND ((created_at >= $3 AND created_at < $4) OR gateway_reference = ANY ($5::text[])
                OR reference = ANY ($6::text[]))
        """,
        run["merchant_id"],
        run["gateway_account_id"],
        run["window_start"],
        run["window_end"],
        references[0],
        references[1],
    )
    return [
        OurCharge(
            row["id"],
            row["payment_id"],
            AttemptStatus(row["status"]),
            row["amount"],
            row["currency"],
            row["reference"],
            row["gateway_reference"],
            row["created_at"],
            row["fee"],
        )
        for row in rows
    ]


async def refunds(
    tx: Tx, run: Row, references: tuple[Sequence[str], Sequence[str]]
) -> list[OurRefund]:
    """Our refunds of the window, and those that the gateway's list names, whenever they were."""
    rows = await tx.fetch(
        """
        SELECT id, payment_id, status, amount, currency, reference, gateway_reference, created_at
          FROM refunds
         WHERE merchant_id = $1 AND gateway_account_id = $2
           AND ((created_at >= $3 AND created_at < $4) OR gateway_reference = ANY ($5::text[])
                OR reference = ANY ($6::text[]))
        """,
        run["merchant_id"],
        run["gateway_account_id"],
        run["window_start"],
        run["window_end"],
        references[0],
        references[1],
    )
    return [
        OurRefund(
            row["id"],
            row["payment_id"],
            RefundStatus(row["status"]),
            row["amount"],
            row["currency"],
            row["reference"],
            row["gateway_reference"],
            row["created_at"],
        )
        for row in rows
    ]


async def keep(
    tx: Tx, place: Place, run_id: UUID | None, found: Sequence[Difference], now: datetime
) -> tuple[list[UUID], int]:
    """Store the differences; those that were known stay as they are, and were seen again. The ids
    of the new ones, and how many of all are open. `run_id`: the comparison that found them.

    Money that was taken is one difference, by whatever name it was found first: mended under two,
    it would be given twice.
    """
    ids = [new_id() for _ in found]
    made = {*ids, *await _changed_again(tx, place, found)}
    known = await _known_as(tx, place, [d for d in found if d.kind in TAKEN])
    rows = await tx.fetch(
        """
        INSERT INTO reconciliation_differences AS d
            (merchant_id, id, reconciliation_id, gateway_account_id, difference_key, kind, status,
             currency, amount_here, amount_there, gateway_reference, our_reference,
             payment_attempt_id, refund_id, payment_id, detail, created_at, seen_at)
        SELECT $1, v.id, $2, $3, v.key, v.kind, 'open', v.currency, v.here, v.there, v.theirs,
               v.ours, v.attempt, v.refund, v.payment, v.detail::json, $4, $4
          FROM unnest($5::uuid[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[],
                      $11::text[], $12::text[], $13::uuid[], $14::uuid[], $15::uuid[], $16::text[])
               AS v (id, key, kind, currency, here, there, theirs, ours, attempt, refund, payment,
                     detail)
        ON CONFLICT (merchant_id, gateway_account_id, difference_key)
           DO UPDATE SET seen_at = excluded.seen_at,
                         reconciliation_id = coalesce(d.reconciliation_id,
                                                      excluded.reconciliation_id)
        RETURNING d.id, d.status
        """,
        place[0],
        run_id,
        place[1],
        now,
        ids,
        [known.get(d.gateway_reference, d.key) if d.kind in TAKEN else d.key for d in found],
        [d.kind for d in found],
        [d.currency for d in found],
        [d.amount_here for d in found],
        [d.amount_there for d in found],
        [d.gateway_reference for d in found],
        [d.our_reference for d in found],
        [d.attempt_id for d in found],
        [d.refund_id for d in found],
        [d.payment_id for d in found],
        [dumps(d.detail) for d in found],
    )
    still = sum(row["status"] in ("open", "repairing") for row in rows)
    return [row["id"] for row in rows if row["id"] in made], still


async def _known_as(tx: Tx, place: Place, taken: Sequence[Difference]) -> dict[str | None, str]:
    """By which key money that was taken is known already, by the gateway's name of it."""
    names = [one.gateway_reference for one in taken]
    if not names:
        return {}
    rows = await tx.fetch(
        """
        SELECT gateway_reference, difference_key FROM reconciliation_differences
         WHERE merchant_id = $1 AND gateway_account_id = $2 AND difference_key IN (
               SELECT kind || ':' || name FROM unnest($3::text[]) AS k (kind),
                                               unnest($4::text[]) AS n (name))
         ORDER BY created_at DESC
        """,
        *place,
        TAKEN,
        names,
    )
    return {row["gateway_reference"]: row["difference_key"] for row in rows}


async def _changed_again(tx: Tx, place: Place, found: Sequence[Difference]) -> list[UUID]:
    """Fees that were mended, and differ again: open once more, as they are now; their ids."""
    fees = [one for one in found if one.kind is Kind.FEE_DIFFERS]
    if not fees:
        return []
    rows = await tx.fetch(
        """
        UPDATE reconciliation_differences d
           SET status = 'open', repair = NULL, resolved_at = NULL, amount_here = v.here,
               amount_there = v.there, version = d.version + 1
          FROM unnest($3::text[], $4::bigint[], $5::bigint[]) AS v (key, here, there)
         WHERE d.merchant_id = $1 AND d.gateway_account_id = $2 AND d.difference_key = v.key
           AND (d.status = 'repaired'
                OR (d.status = 'dismissed' AND d.amount_there <> v.there))
        RETURNING d.id
        """,
        *place,
        [one.key for one in fees],
        [one.amount_here for one in fees],
        [one.amount_there for one in fees],
    )
    return [row["id"] for row in rows]


async def given_back(tx: Tx, place: Place) -> list[UUID]:
    """The differences of an account that were repaired by refunds, or are about to be."""
    rows = await tx.fetch(
        """
        SELECT id FROM reconciliation_differences
         WHERE merchant_id = $1 AND gateway_account_id = $2 AND repair = 'refund'
        """,
        *place,
    )
    return [row["id"] for row in rows]


async def settled_meanwhile(tx: Tx, run: Row, now: datetime) -> list[UUID]:
    """What was in flight when it was found, and is not any more, needs no repair; nor does what the
    gateway told by itself since. Those that are resolved so.
    """
    found = await tx.fetch(
        """
        UPDATE reconciliation_differences d
           SET status = 'repaired', repair = 'settle', resolved_at = $3, version = d.version + 1
         WHERE d.merchant_id = $1 AND d.gateway_account_id = $2 AND d.status = 'open'
           AND ((d.kind = 'charge_not_settled_here' AND EXISTS (
                 SELECT FROM payment_attempts a WHERE a.merchant_id = d.merchant_id
                    AND a.id = d.payment_attempt_id
                    AND a.status IN ('succeeded', 'failed', 'canceled')))
             OR (d.kind IN ('refund_not_settled_here', 'refund_undone_there',
                            'refund_after_closing') AND EXISTS (
                 SELECT FROM refunds f WHERE f.merchant_id = d.merchant_id AND f.id = d.refund_id
                    AND f.status = ANY (CASE d.kind WHEN 'refund_undone_there' THEN '{failed}'
                        WHEN 'refund_after_closing' THEN '{succeeded}'
                        ELSE '{succeeded,failed}'::text[] END))))
        RETURNING d.id
        """,
        run["merchant_id"],
        run["gateway_account_id"],
        now,
    )
    return [row["id"] for row in found]


async def lock(tx: Tx, difference_id: UUID) -> Row | None:
    """One difference of the transaction's merchant, locked, with what opens its account."""
    return await tx.fetchrow(
        f"""
        SELECT d.*, {OPENING}, a.invoice_id, a.status AS attempt_status,
               a.gateway_reference AS attempt_reference
          FROM reconciliation_differences d
          JOIN gateway_accounts g ON g.merchant_id = d.merchant_id AND g.id = d.gateway_account_id
          LEFT JOIN payment_attempts a
            ON a.merchant_id = d.merchant_id AND a.id = d.payment_attempt_id
         WHERE d.merchant_id = current_setting('app.merchant_id')::uuid AND d.id = $1
           FOR NO KEY UPDATE OF d
        """,
        difference_id,
    )


async def begin_refund(tx: Tx, difference_id: UUID, now: datetime) -> None:
    """Note that a refund of it is on its way from now on."""
    await tx.run(
        """
        UPDATE reconciliation_differences
           SET status = 'repairing', repair = 'refund', sent_at = $2, version = version + 1
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        difference_id,
        now,
    )


async def mark(
    tx: Tx,
    difference_id: UUID,
    status: str,
    now: datetime,
    *,
    repair: Repair | None = None,
    note: str | None = None,
) -> None:
    """Note where a difference stands."""
    await tx.run(
        """
        UPDATE reconciliation_differences
           SET status = $2, repair = coalesce($3, repair), note = coalesce($4, note),
               resolved_at = CASE WHEN $2 IN ('repaired', 'dismissed') THEN $5::timestamptz END,
               version = version + 1
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        difference_id,
        status,
        repair,
        note,
        now,
    )


async def not_refunded(tx: Tx, difference_id: UUID, why: str, *, is_refused: bool) -> None:
    """Open it once more, its refund having come to nothing; `is_refused`: by the gateway's word, so
    that only a person may ask for it again.
    """
    await tx.run(
        """
        UPDATE reconciliation_differences
           SET status = 'open', note = $2, sent_at = CASE WHEN $3 THEN sent_at END,
               version = version + 1
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        difference_id,
        f"not refunded: {why}",
        is_refused,
    )


async def repairing(tx: Tx, now: datetime) -> list[Row]:
    """The differences whose repair has no answer from the gateway yet: those that were tried the
    longest ago, so that none that is stuck is in the way of the others.
    """
    return await tx.fetch(
        """
        WITH next AS MATERIALIZED (
            SELECT merchant_id, id FROM reconciliation_differences WHERE status = 'repairing'
             ORDER BY tried_at NULLS FIRST, created_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED)
        UPDATE reconciliation_differences d SET tried_at = $2 FROM next
         WHERE d.merchant_id = next.merchant_id AND d.id = next.id
        RETURNING d.merchant_id, d.id
        """,
        DIFFERENCES_MAX,
        now,
    )


async def late_money(tx: Tx, now: datetime) -> list[Row]:
    """The open differences that a merchant's settings may decide: money taken late, or twice, whose
    refund was not refused; those that were tried the longest ago.
    """
    return await tx.fetch(
        """
        WITH next AS MATERIALIZED (
            SELECT n.merchant_id, n.id, m.mode FROM reconciliation_differences n
              JOIN merchants m ON m.id = n.merchant_id
             WHERE n.status = 'open' AND n.kind IN ('charge_after_closing', 'charged_twice')
               AND n.sent_at IS NULL
               AND m.billing_settings ->> 'late_payments' IN ('apply', 'refund')
             ORDER BY n.tried_at NULLS FIRST, n.created_at LIMIT $1
               FOR NO KEY UPDATE OF n SKIP LOCKED)
        UPDATE reconciliation_differences d SET tried_at = $2 FROM next
         WHERE d.merchant_id = next.merchant_id AND d.id = next.id
        RETURNING d.merchant_id, d.id, next.mode
        """,
        DIFFERENCES_MAX,
        now,
    )


async def set_fee(tx: Tx, attempt_id: UUID, fee: int) -> int | None:
    """Note what the gateway kept of an attempt; what was noted before."""
    before: int | None = await tx.fetchval(
        """
        UPDATE payment_attempts a SET fee = $2, version = a.version + 1
          FROM payment_attempts o
         WHERE a.merchant_id = current_setting('app.merchant_id')::uuid AND a.id = $1
           AND o.merchant_id = a.merchant_id AND o.id = a.id
        RETURNING o.fee
        """,
        attempt_id,
        fee,
    )
    return before
