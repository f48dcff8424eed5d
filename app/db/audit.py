"""The audit: invariants of the books as queries, each of which finds what must not exist.

Every query takes a merchant or NULL for all, and the present time; it returns the merchant and
the id or name of each thing that is wrong. They read whole tables, each once.
"""

import re
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.db import invoices
from app.db.audit_books import BOOKS, RETURNED
from app.db.audit_check import Check
from app.db.audit_dunning import DUNNING
from app.db.audit_money import MONEY
from app.db.audit_told import TOLD
from app.db.base import Row, Tx

CHECKS: Final = (*BOOKS, *MONEY, *DUNNING, *TOLD)
OVERDUE_MAX: Final = timedelta(minutes=10)
"""A due subscription older than this means that the clock does not run."""
SAMPLES: Final = 5
MINE: Final = "($1::uuid IS NULL OR {0}.merchant_id = $1)"
BALANCE: Final = """
    SELECT merchant_id, currency, sum(amount) AS amount FROM (
        SELECT e.merchant_id, e.currency, e.amount FROM ledger_entries e
         WHERE {{mine:e}} AND e.debit = '{0}'
        UNION ALL
        SELECT e.merchant_id, e.currency, -e.amount FROM ledger_entries e
         WHERE {{mine:e}} AND e.credit = '{0}') both_sides GROUP BY 1, 2
"""


def _sql(check: Check) -> str:
    """The query with its shorthands written out."""
    sql = check.sql.replace("{returned}", RETURNED).replace("{bills}", invoices.BILLS)
    sql = re.sub(r"\{balance:(\w+)\}", lambda found: BALANCE.format(found[1]), sql)
    return re.sub(r"\{mine:(\w+)\}", lambda found: MINE.format(found[1]), sql)


async def exceptions(
    tx: Tx, check: Check, merchant_id: UUID | None, now: datetime
) -> tuple[int, list[Row]]:
    """How many exceptions a check finds, and the first few of them."""
    sql = _sql(check)
    args: list[object] = [merchant_id]
    if "$2" in sql:
        args.append(now - OVERDUE_MAX)
    rows = await tx.fetch(
        f"SELECT merchant_id, what, count(*) OVER () AS n FROM ({sql}) found LIMIT {SAMPLES}", *args
    )
    return (rows[0]["n"] if rows else 0), rows


async def trial_balance(tx: Tx, merchant_id: UUID | None) -> list[Row]:
    """Per merchant, currency and account: debits, credits, and debits less credits."""
    return await tx.fetch(
        f"""
        SELECT merchant_id, currency, account, sum(debit)::bigint AS debit,
               sum(credit)::bigint AS credit, sum(debit - credit)::bigint AS balance
          FROM (SELECT e.merchant_id, e.currency, e.debit AS account, e.amount AS debit,
                       0::bigint AS credit FROM ledger_entries e WHERE {MINE.format("e")}
                 UNION ALL
                SELECT e.merchant_id, e.currency, e.credit, 0, e.amount
                  FROM ledger_entries e WHERE {MINE.format("e")}) sides
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        merchant_id,
    )
