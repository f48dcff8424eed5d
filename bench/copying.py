"""The floor beneath every way of writing: the same rows, ready-made, by plain COPY.

As superuser, whom row-level security does not bind, with all keys, indexes, foreign keys, checks
and triggers in place, a thousand renewals to a transaction as the clock commits them. Nothing is
loaded, reckoned or numbered.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from app import process
from bench.meter import Meter
from bench.servers import connected

BATCH: Final = 1_000
"""Renewals in one transaction: what the clock takes at once."""

# What a renewal wrote, in the order of the invoices: the same number of rows for each of them.
WRITTEN: Final[Mapping[str, str]] = {
    "invoices": "SELECT t.* FROM bills JOIN invoices t USING (merchant_id, id) ORDER BY t.id",
    "invoice_lines": """
        SELECT t.* FROM bills b JOIN invoice_lines t
            ON (t.merchant_id, t.invoice_id) = (b.merchant_id, b.id)
         ORDER BY t.invoice_id, t.position
    """,
    "invoice_line_discounts": """
        SELECT t.* FROM bills b JOIN invoice_lines l
            ON (l.merchant_id, l.invoice_id) = (b.merchant_id, b.id)
          JOIN invoice_line_discounts t ON (t.merchant_id, t.line_id) = (l.merchant_id, l.id)
         ORDER BY l.invoice_id, l.position
    """,
    "invoice_line_taxes": """
        SELECT t.* FROM bills b JOIN invoice_lines l
            ON (l.merchant_id, l.invoice_id) = (b.merchant_id, b.id)
          JOIN invoice_line_taxes t ON (t.merchant_id, t.line_id) = (l.merchant_id, l.id)
         ORDER BY l.invoice_id, l.position
    """,
    "payments": """
        SELECT t.* FROM bills b JOIN payments t
            ON (t.merchant_id, t.invoice_id) = (b.merchant_id, b.id)
         ORDER BY t.invoice_id
    """,
    "ledger_entries": """
        SELECT t.* FROM bills b JOIN ledger_entries t
            ON (t.merchant_id, t.source_id) = (b.merchant_id, b.id)
         ORDER BY t.source_id, t.id
    """,
    "events": "SELECT t.* FROM events t WHERE t.created_at = $1 ORDER BY t.id",
}
BILLS: Final = "WITH bills AS (SELECT merchant_id, id FROM invoices WHERE created_at = $1) "


@dataclass(frozen=True)
class Load:
    """One table's rows; columns that are empty in all of them are left out."""

    table: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


async def loads(source: asyncpg.Connection, now: datetime) -> list[Load]:
    """Everything that the run at `now` wrote."""
    found = []
    for table, query in WRITTEN.items():
        rows = await source.fetch(BILLS + query, now)
        used = [name for name in list(rows[0].keys()) if any(row[name] is not None for row in rows)]
        tuples = [tuple(row[name] for name in used) for row in rows]
        found.append(Load(table, tuple(used), tuples))
    return found


def batches(loads: Sequence[Load]) -> Iterator[list[Load]]:
    """The rows of a thousand renewals at a time."""
    renewals = len(loads[0].rows)
    for start in range(0, renewals, BATCH):
        end = min(start + BATCH, renewals)
        yield [
            Load(load.table, load.columns, load.rows[start * each : end * each])
            for load in loads
            for each in [len(load.rows) // renewals]
        ]


async def copy(target: asyncpg.Connection, work: Sequence[Sequence[Load]]) -> None:
    for batch in work:
        async with target.transaction():
            for load in batch:
                await target.copy_records_to_table(
                    load.table, records=load.rows, columns=load.columns
                )


async def main(source_url: str, target_url: str, now: datetime) -> None:
    async with connected(source_url) as source:
        found = await loads(source, now)
    work = list(batches(found))
    async with connected(target_url) as target:
        await target.fetchval("SELECT 1")
        process.settle()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        meter = Meter(target.get_server_pid())
        await copy(target, work)
        print(json.dumps({"renewals": len(found[0].rows), **meter.read()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], datetime.fromisoformat(sys.argv[3])))
