"""Rows of `inbound_events`: taken in as they come, claimed by object, settled for good.

Of one object only its oldest event that is not settled can be claimed, and it stands for all that
came meanwhile. So no two workers ask about one object at a time, and an older answer cannot
overtake a newer one. News never waits for what is old: an event brings an elder that backs off to
the present, with all of its attempts before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.db.base import Row, Tx, dumps
from app.db.gateway_accounts import OPENING
from app.domain.inbox import EventKind, GatewayEvent, Standing, Status

Key = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be stored; body and headers are as they may be kept."""

    merchant_id: UUID
    account_id: UUID
    id: UUID
    received_at: datetime
    event: GatewayEvent
    standing: Standing
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event to be settled, its account's row, and all unsettled events of the same object."""

    merchant_id: UUID
    id: UUID
    event: GatewayEvent
    attempts: int
    account: Row
    together: tuple[UUID, ...]


async def insert(tx: Tx, new: Sequence[NewEvent]) -> set[UUID]:
    """Store what was not stored before; the ids of those that were new.

    In the order of their keys, so that two who store the same at once never wait for each other.
    """
    ordered = sorted(new, key=lambda n: (n.merchant_id, n.account_id, n.event.id))
    columns = map(list, zip(*map(_row, ordered), strict=True))
    rows = await tx.fetch(
        """
        INSERT INTO inbound_events
            (merchant_id, id, gateway_account_id, gateway_event_id, type, kind, reference,
             our_reference, payment_reference, subject, occurred_at, status, reason, body,
             headers, attempts, received_at, due_at, settled_at)
        SELECT * FROM unnest(
            $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::text[], $9::text[], $10::text[], $11::timestamptz[], $12::text[], $13::text[],
            $14::bytea[], $15::json[], $16::smallint[], $17::timestamptz[], $18::timestamptz[],
            $19::timestamptz[])
        ON CONFLICT (merchant_id, gateway_account_id, gateway_event_id) DO NOTHING
        RETURNING id
        """,
        *columns,
    )
    fresh = {row["id"] for row in rows}
    await _hasten(tx, [n for n in ordered if n.id in fresh])
    return fresh


async def _hasten(tx: Tx, fresh: Sequence[NewEvent]) -> None:
    """There is news of these objects: what waits of them is due now, in the order of its keys."""
    waiting = [n for n in fresh if n.standing.status is Status.RECEIVED]
    if not waiting:
        return
    await tx.run(
        f"""
        UPDATE inbound_events e SET due_at = held.received_at, attempts = 0 FROM (
            SELECT o.merchant_id, o.id, k.received_at
              FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
                AS k (merchant_id, gateway_account_id, kind, subject, received_at)
             CROSS JOIN LATERAL {_waiting("k", "ORDER BY w.id LIMIT 1")} oldest
              JOIN inbound_events o ON o.merchant_id = k.merchant_id AND o.id = oldest.id
             WHERE o.due_at > k.received_at
             ORDER BY o.merchant_id, o.id FOR NO KEY UPDATE OF o
        ) held WHERE e.merchant_id = held.merchant_id AND e.id = held.id
        """,
        [n.merchant_id for n in waiting],
        [n.account_id for n in waiting],
        [n.event.kind for n in waiting],
        [_subject(n.event) for n in waiting],
        [n.received_at for n in waiting],
    )


def _subject(event: GatewayEvent) -> str | None:
    return event.reference or event.our_reference


def _waiting(of: str, order: str = "ORDER BY w.id") -> str:
    """SQL: the ids of the unsettled events of the object that a row `of` names, the oldest first:
    read off `ix_inbound_events_subject`, which has them in this order.
    """
    return f"""(
        SELECT w.id FROM inbound_events w
         WHERE w.merchant_id = {of}.merchant_id AND w.gateway_account_id = {of}.gateway_account_id
           AND w.kind = {of}.kind AND w.subject = {of}.subject AND w.status = 'received'
         {order})"""


def _row(new: NewEvent) -> tuple[object, ...]:
    event, waits = new.event, new.standing.status is Status.RECEIVED
    return (
        new.merchant_id,
        new.id,
        new.account_id,
        event.id,
        event.type,
        event.kind,
        event.reference,
        event.our_reference,
        event.payment_reference,
        _subject(event),
        event.occurred_at,
        new.standing.status,
        new.standing.reason,
        new.body,
        dumps(new.headers),
        0,
        new.received_at,
        new.received_at if waits else None,
        None if waits else new.received_at,
    )


async def claim(tx: Tx, now: datetime, lease: datetime, limit: int) -> list[Claimed]:
    """Up to `limit` objects with events that are due, the longest waiting first; nobody else
    settles any of theirs before `lease`.
    """
    rows = await tx.fetch(
        f"""
        WITH due AS MATERIALIZED (
            SELECT d.merchant_id, d.id FROM inbound_events d
             WHERE d.due_at <= $1 AND d.status = 'received'
               AND (d.lease_until IS NULL OR d.lease_until <= $1)
               AND d.id = {_waiting("d", "ORDER BY w.id LIMIT 1")}
             ORDER BY d.due_at LIMIT $3 FOR NO KEY UPDATE OF d SKIP LOCKED)
        UPDATE inbound_events e SET lease_until = $2 FROM due
         WHERE e.merchant_id = due.merchant_id AND e.id = due.id
        RETURNING e.merchant_id, e.id, e.gateway_account_id, e.gateway_event_id, e.type, e.kind,
                  e.reference, e.our_reference, e.payment_reference, e.occurred_at, e.attempts
        """,
        now,
        lease,
        limit,
    )
    accounts = await _accounts(tx, rows)
    together = await _together(tx, rows)
    return [
        Claimed(
            row["merchant_id"],
            row["id"],
            _event(row),
            row["attempts"],
            accounts[row["merchant_id"], row["gateway_account_id"]],
            tuple(together[row["merchant_id"], row["id"]]),
        )
        for row in rows
    ]


async def _accounts(tx: Tx, rows: Sequence[Row]) -> dict[Key, Row]:
    keys = sorted({(row["merchant_id"], row["gateway_account_id"]) for row in rows})
    found = await tx.fetch(
        f"""
        SELECT g.merchant_id, g.id AS gateway_account_id, {OPENING}
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN gateway_accounts g USING (merchant_id, id)
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    return {(row["merchant_id"], row["gateway_account_id"]): row for row in found}


async def _together(tx: Tx, rows: Sequence[Row]) -> dict[Key, list[UUID]]:
    """For each claimed event the unsettled ones of its object, itself first."""
    found = await tx.fetch(
        f"""
        SELECT h.merchant_id, h.id AS head, e.id
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN inbound_events h USING (merchant_id, id)
         CROSS JOIN LATERAL {_waiting("h")} e
         ORDER BY e.id
        """,
        [row["merchant_id"] for row in rows],
        [row["id"] for row in rows],
    )
    together: dict[Key, list[UUID]] = {(row["merchant_id"], row["id"]): [] for row in rows}
    for row in found:
        together[row["merchant_id"], row["head"]].append(row["id"])
    return together


async def stand(tx: Tx, claimed: Claimed, standing: Standing, now: datetime) -> None:
    """Write down what became of a claimed event; an end is the end of all of its object's events
    that were there when it was claimed.
    """
    if standing.status is Status.RECEIVED:
        assert standing.wait is not None
        await tx.run(
            f"""
            UPDATE inbound_events e
               SET attempts = attempts + 1, lease_until = NULL, detail = $4,
                   due_at = CASE WHEN EXISTS (SELECT FROM {_waiting("e")} n
                                               WHERE n.id <> ALL ($5::uuid[]))
                                 THEN $6::timestamptz ELSE $3 END
             WHERE merchant_id = $1 AND id = $2 AND status = 'received'
            """,
            claimed.merchant_id,
            claimed.id,
            now + standing.wait,
            standing.detail,
            list(claimed.together),
            now,
        )
        return
    await tx.run(
        """
        UPDATE inbound_events
           SET status = $3, reason = $4, detail = $5, attempts = attempts + 1, due_at = NULL,
               lease_until = NULL, settled_at = $6
         WHERE merchant_id = $1 AND id = ANY ($2::uuid[]) AND status = 'received'
        """,
        claimed.merchant_id,
        list(claimed.together),
        standing.status,
        standing.reason,
        standing.detail,
        now,
    )


async def lock(tx: Tx, merchant_id: UUID, account_id: UUID, id: UUID) -> Row | None:
    """One event of an account, locked."""
    return await tx.fetchrow(
        """
        SELECT id, status, subject FROM inbound_events
         WHERE merchant_id = $1 AND gateway_account_id = $2 AND id = $3 FOR NO KEY UPDATE
        """,
        merchant_id,
        account_id,
        id,
    )


async def reopen(tx: Tx, merchant_id: UUID, id: UUID, now: datetime) -> None:
    """Let a locked event be settled again, from the first attempt on."""
    await tx.run(
        """
        UPDATE inbound_events
           SET status = 'received', reason = NULL, detail = NULL, attempts = 0, due_at = $3,
               lease_until = NULL, settled_at = NULL
         WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        now,
    )


async def delete_old(tx: Tx, before: datetime, limit: int) -> int:
    """Forget up to `limit` events that were settled or ignored before; orphans and those that
    wait for a person stay.
    """
    return await tx.run(
        """
        DELETE FROM inbound_events WHERE (merchant_id, id) IN (
            SELECT merchant_id, id FROM inbound_events
             WHERE settled_at < $1 AND status IN ('settled', 'ignored')
             ORDER BY settled_at LIMIT $2 FOR UPDATE SKIP LOCKED)
        """,
        before,
        limit,
    )


def _event(row: Row) -> GatewayEvent:
    return GatewayEvent(
        id=row["gateway_event_id"],
        type=row["type"] or "",
        kind=EventKind(row["kind"]),
        reference=row["reference"],
        our_reference=row["our_reference"],
        payment_reference=row["payment_reference"],
        occurred_at=row["occurred_at"],
    )
