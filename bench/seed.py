"""A shop in full swing: subscriptions with two items, a discount, a tax and a past, all due now.

Everything is made by the server itself from a series of numbers, with triggers and foreign keys
asleep, so that a hundred thousand take seconds. Amounts are multiples of a thousand minor units,
which 10 % off and then 19 % on divide exactly: the history adds up, as an audit would find.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

DUE: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""Every subscription's third period begins within the hour before."""
PAST_PERIODS: Final = 2
STATEMENTS: Final = Path(__file__).with_suffix(".sql").read_text()


@dataclass(frozen=True)
class Size:
    """How much there is of it."""

    subscriptions: int
    merchants: int = 1


async def seed(connection: asyncpg.Connection, size: Size) -> None:
    """Fill an empty database, and gather statistics as a database with a past would have them."""
    script = STATEMENTS.format(
        merchants=size.merchants,
        subscriptions=size.subscriptions,
        past=PAST_PERIODS,
        due=f"'{DUE.isoformat()}'::timestamptz",
    )
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(script)
    await connection.execute("RESET session_replication_role")
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
