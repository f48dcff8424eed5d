"""Rows of `setup_sessions` and `gateway_customers`: who enters a payment method, and where."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db.base import Row, Tx, dumps
from app.domain.setup_session import Session, Status
from app.domain.vault import SetupFlow

HANDOVER: Final = "setup_sessions.handover_ciphertext"
COLUMNS: Final = """
    s.merchant_id, s.id, s.customer_id, s.gateway_account_id, s.status, s.code, s.flow,
    s.make_default, s.gateway_reference, s.gateway_customer_reference, s.payment_method_id,
    s.failure_code, s.failure_category, s.detail, s.look_ups, s.look_up_at, s.created_at,
    s.expires_at, s.ended_at, s.version
"""
TERMS: Final = """
    s.return_url, s.cancel_url, s.currency, s.amount_max, s.mandate_expires_at, s.description,
    s.handover_ciphertext, s.client_token_hash
"""
"""What a call to the gateway is made of, next to the session."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be stored, with the terms that the gateway is told."""

    session: Session
    client_token_hash: bytes
    handover_ciphertext: str
    return_url: str | None
    cancel_url: str | None
    currency: str | None
    amount_max: int | None
    mandate_expires_at: datetime | None
    description: str | None
    metadata: Mapping[str, str]


async def insert(tx: Tx, new: NewSession) -> None:
    """Store a session that is about to be begun."""
    session = new.session
    await tx.run(
        """
        INSERT INTO setup_sessions
            (merchant_id, id, customer_id, gateway_account_id, status, code, make_default,
             gateway_customer_reference, look_ups, look_up_at, created_at, expires_at, version,
             client_token_hash, handover_ciphertext, return_url, cancel_url, currency, amount_max,
             mandate_expires_at, description, metadata)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20, $21, $22)
        """,
        session.merchant_id,
        session.id,
        session.customer_id,
        session.gateway_account_id,
        session.status,
        session.code,
        session.make_default,
        session.gateway_customer_reference,
        session.look_ups,
        session.look_up_at,
        session.created_at,
        session.expires_at,
        session.version,
        new.client_token_hash,
        new.handover_ciphertext,
        new.return_url,
        new.cancel_url,
        new.currency,
        new.amount_max,
        new.mandate_expires_at,
        new.description,
        dumps(new.metadata),
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> tuple[Session, Row] | None:
    """One session, locked, with its terms."""
    row = await tx.fetchrow(
        f"SELECT {COLUMNS}, {TERMS} FROM setup_sessions s "
        "WHERE s.merchant_id = $1 AND s.id = $2 FOR NO KEY UPDATE",
        merchant_id,
        id,
    )
    return None if row is None else (session(row), row)


async def find(
    tx: Tx, merchant_id: UUID, account_id: UUID, code: str | None, reference: str | None
) -> UUID | None:
    """The session at this account with our code, else with the gateway's reference."""
    found: UUID | None = await tx.fetchval(
        """
        SELECT id FROM setup_sessions
         WHERE merchant_id = $1 AND gateway_account_id = $2
           AND (code = $3 OR gateway_reference = $4)
         ORDER BY code = $3 DESC, id DESC LIMIT 1
        """,
        merchant_id,
        account_id,
        code,
        reference,
    )
    return found


async def claim(tx: Tx, now: datetime, lease: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """Sessions to be looked after now, as (merchant, id); nobody else does before `lease`."""
    rows = await tx.fetch(
        """
        WITH due AS MATERIALIZED (
            SELECT d.merchant_id, d.id FROM setup_sessions d
             WHERE d.look_up_at <= $1 ORDER BY d.look_up_at LIMIT $3
               FOR NO KEY UPDATE SKIP LOCKED)
        UPDATE setup_sessions s SET look_up_at = $2 FROM due
         WHERE s.merchant_id = due.merchant_id AND s.id = due.id
        RETURNING s.merchant_id, s.id
        """,
        now,
        lease,
        limit,
    )
    return [(row["merchant_id"], row["id"]) for row in rows]


async def update(tx: Tx, session: Session, handover_ciphertext: str | None) -> None:
    """Write a locked session as it is now, and what is handed to the customer."""
    await tx.run(
        """
        UPDATE setup_sessions
           SET status = $3, flow = $4, gateway_reference = $5, gateway_customer_reference = $6,
               payment_method_id = $7, failure_code = $8, failure_category = $9, detail = $10,
               look_ups = $11, look_up_at = $12, expires_at = $13, ended_at = $14, version = $15,
               handover_ciphertext = $16
         WHERE merchant_id = $1 AND id = $2
        """,
        session.merchant_id,
        session.id,
        session.status,
        session.flow,
        session.gateway_reference,
        session.gateway_customer_reference,
        session.payment_method_id,
        session.failure_code,
        session.failure_category,
        session.detail,
        session.look_ups,
        session.look_up_at,
        session.expires_at,
        session.ended_at,
        session.version,
        handover_ciphertext,
    )


async def gateway_customer(
    tx: Tx, merchant_id: UUID, customer_id: UUID, account_id: UUID
) -> str | None:
    """How the gateway calls the customer at this account, if that is known."""
    found: str | None = await tx.fetchval(
        """
        SELECT reference FROM gateway_customers
         WHERE merchant_id = $1 AND customer_id = $2 AND gateway_account_id = $3
        """,
        merchant_id,
        customer_id,
        account_id,
    )
    return found


async def keep_gateway_customer(tx: Tx, session: Session, reference: str, now: datetime) -> None:
    """Remember how the gateway calls the customer; the first name it was given stays."""
    await tx.run(
        """
        INSERT INTO gateway_customers
            (merchant_id, customer_id, gateway_account_id, reference, created_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (merchant_id, customer_id, gateway_account_id) DO NOTHING
        """,
        session.merchant_id,
        session.customer_id,
        session.gateway_account_id,
        reference,
        now,
    )


def session(row: Row) -> Session:
    """The session that a row stands for."""
    flow = row["flow"]
    return Session(
        id=row["id"],
        merchant_id=row["merchant_id"],
        customer_id=row["customer_id"],
        gateway_account_id=row["gateway_account_id"],
        status=Status(row["status"]),
        code=row["code"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        make_default=row["make_default"],
        flow=None if flow is None else SetupFlow(flow),
        gateway_reference=row["gateway_reference"],
        gateway_customer_reference=row["gateway_customer_reference"],
        payment_method_id=row["payment_method_id"],
        failure_code=row["failure_code"],
        failure_category=row["failure_category"],
        detail=row["detail"],
        look_ups=row["look_ups"],
        look_up_at=row["look_up_at"],
        ended_at=row["ended_at"],
        version=row["version"],
    )
