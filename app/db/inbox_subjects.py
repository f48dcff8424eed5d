"""What a gateway's event is about, as far as it is ours: found by our reference or by theirs."""

from datetime import datetime
from typing import Final
from uuid import UUID

from app.db.base import Row, Tx
from app.db.payments import ATTEMPT_COLUMNS, REFUND_COLUMNS, attempt, refund
from app.domain.payment import Attempt
from app.domain.refund import Refund

CLOCK: Final = """
    JOIN payments p ON p.merchant_id = {0}.merchant_id AND p.id = {0}.payment_id
    LEFT JOIN test_clocks c ON c.merchant_id = p.merchant_id AND c.id = p.test_clock_id
"""
"""What time it is for whoever pays, where that is not the wall clock's."""


async def attempt_of(
    tx: Tx, merchant_id: UUID, account_id: UUID, ours: str | None, theirs: str | None
) -> tuple[Attempt, datetime | None] | None:
    """The attempt at this account with the gateway's reference, else with ours, and its test
    clock's time.
    """
    row = await _first(
        tx,
        f"SELECT {ATTEMPT_COLUMNS}, c.frozen_at FROM payment_attempts a {CLOCK.format('a')}",
        "a",
        (merchant_id, account_id, ours, theirs),
    )
    return None if row is None else (attempt(row), row["frozen_at"])


async def refund_of(
    tx: Tx, merchant_id: UUID, account_id: UUID, ours: str | None, theirs: str | None
) -> tuple[Refund, datetime | None] | None:
    """The refund at this account with the gateway's reference, else with ours, and its test
    clock's time.
    """
    row = await _first(
        tx,
        f"SELECT {REFUND_COLUMNS}, c.frozen_at FROM refunds r {CLOCK.format('r')}",
        "r",
        (merchant_id, account_id, ours, theirs),
    )
    return None if row is None else (refund(row), row["frozen_at"])


async def _first(
    tx: Tx, select: str, alias: str, key: tuple[UUID, UUID, str | None, str | None]
) -> Row | None:
    merchant_id, account_id, ours, theirs = key
    # Their name is one object's; ours may be borne by what was made in place of another.
    for column, value in (("gateway_reference", theirs), ("reference", ours)):
        if value is not None:
            row = await tx.fetchrow(
                f"{select} WHERE {alias}.merchant_id = $1 AND {alias}.gateway_account_id = $2 "
                f"AND {alias}.{column} = $3",
                merchant_id,
                account_id,
                value,
            )
            if row is not None:
                return row
    return None


async def now_of_payment(tx: Tx, payment_id: UUID) -> datetime | None:
    """What time it is for whoever pays, where that is a test clock's; of the transaction's
    merchant.
    """
    found: datetime | None = await tx.fetchval(
        """
        SELECT c.frozen_at FROM payments p
          JOIN test_clocks c ON c.merchant_id = p.merchant_id AND c.id = p.test_clock_id
         WHERE p.merchant_id = current_setting('app.merchant_id')::uuid AND p.id = $1
        """,
        payment_id,
    )
    return found
