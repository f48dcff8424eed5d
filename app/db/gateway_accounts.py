"""Rows of `gateway_accounts`: where a merchant collects, and how the account is opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.db.base import Row, Tx, dumps

CREDENTIALS: Final = "gateway_accounts.credentials_ciphertext"
WEBHOOK_SECRET: Final = "gateway_accounts.webhook_secret_ciphertext"  # noqa: S105  a column
PREVIOUS_WEBHOOK_SECRET: Final = "gateway_accounts.previous_webhook_secret_ciphertext"  # noqa: S105
OPENING: Final = """
    g.gateway, g.mode, g.settings, g.credentials_ciphertext, g.webhook_secret_ciphertext,
    g.previous_webhook_secret_ciphertext, g.previous_webhook_secret_expires_at
"""
"""What it takes to open an account `g`, next to its merchant's id and its own."""


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be stored; `credentials` is what may be shown of them, by name."""

    id: UUID
    gateway: str
    name: str
    mode: str
    credentials_ciphertext: str | None
    credentials: Sequence[dict[str, Any]] = field(repr=False)
    options: dict[str, str]
    webhook_secret_ciphertext: str | None
    is_default: bool


async def insert(tx: Tx, merchant_id: UUID, new: NewAccount, now: datetime) -> None:
    """Store an account."""
    await tx.run(
        """
        INSERT INTO gateway_accounts
            (merchant_id, id, gateway, name, mode, credentials_ciphertext, credentials, settings,
             is_default, created_at, webhook_secret_ciphertext, webhook_secret_updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
                CASE WHEN $11::text IS NOT NULL THEN $10::timestamptz END)
        """,
        merchant_id,
        new.id,
        new.gateway,
        new.name,
        new.mode,
        new.credentials_ciphertext,
        dumps(list(new.credentials)),
        dumps({"options": new.options}),
        new.is_default,
        now,
        new.webhook_secret_ciphertext,
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """One account, locked, with all that is stored of it."""
    return await tx.fetchrow(
        f"""
        SELECT g.merchant_id, g.id AS gateway_account_id, g.name, g.is_default, g.credentials,
               g.webhook_secret_updated_at, g.disabled_at, g.version, {OPENING}
          FROM gateway_accounts g WHERE g.merchant_id = $1 AND g.id = $2 FOR NO KEY UPDATE
        """,
        merchant_id,
        id,
    )


async def to_open(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """What it takes to open one account."""
    return await tx.fetchrow(
        f"""
        SELECT g.merchant_id, g.id AS gateway_account_id, g.disabled_at, {OPENING}
          FROM gateway_accounts g WHERE g.merchant_id = $1 AND g.id = $2
        """,
        merchant_id,
        id,
    )


async def by_id(tx: Tx, id: UUID) -> Row | None:
    """What it takes to open an account, whosever it is: for who names an account alone."""
    return await tx.fetchrow(
        f"""
        SELECT g.merchant_id, g.id AS gateway_account_id, g.disabled_at, {OPENING}
          FROM gateway_accounts g WHERE g.id = $1
        """,
        id,
    )


async def has_default(tx: Tx, merchant_id: UUID) -> bool:
    """Whether the merchant has an account that new payment methods belong to."""
    found = await tx.fetchval(
        "SELECT true FROM gateway_accounts WHERE merchant_id = $1 AND is_default", merchant_id
    )
    return found is not None


async def clear_default(tx: Tx, merchant_id: UUID, but: UUID) -> None:
    """No account but this one is the default any more."""
    await tx.run(
        """
        UPDATE gateway_accounts SET is_default = false, version = version + 1
         WHERE merchant_id = $1 AND is_default AND id <> $2
        """,
        merchant_id,
        but,
    )


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, object]) -> None:
    """Write columns of a locked account, and count the version on."""
    names = sorted(fields)
    changes = ", ".join(f"{name} = ${place}" for place, name in enumerate(names, 3))
    await tx.run(
        f"""
        UPDATE gateway_accounts SET {changes}, version = version + 1
         WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        *(fields[name] for name in names),
    )


async def note_check(tx: Tx, merchant_id: UUID, id: UUID, result: str, now: datetime) -> None:
    """Write down what the gateway said to the credentials. The account itself is as it was."""
    await tx.run(
        """
        UPDATE gateway_accounts SET check_result = $3, checked_at = $4
         WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        result,
        now,
    )
