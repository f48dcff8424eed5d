"""The simulator's own books, in SQLite: an answer leaves when what it says is on disk.

Every writer between two turns of the event loop shares one transaction (group commit): operations
are synchronous, so they never interleave, and an answer waits for `committed()`. A SIGKILL loses at
most what nobody has been told about.
"""

import asyncio
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS transactions (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('charge', 'refund')),
  charge TEXT CHECK ((kind = 'refund') = (charge IS NOT NULL)),
  reference TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  status TEXT NOT NULL
    CHECK (status IN ('succeeded', 'pending', 'requires_action', 'declined', 'failed')),
  amount INTEGER NOT NULL CHECK (amount > 0),
  currency TEXT NOT NULL,
  payment_method TEXT,
  customer TEXT,
  invoice_number TEXT,
  description TEXT,
  sequence TEXT,
  decline_code TEXT,
  settles_at INTEGER,
  settles_to TEXT,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS transactions_reference ON transactions (reference);
CREATE INDEX IF NOT EXISTS transactions_charge ON transactions (charge) WHERE charge IS NOT NULL;
CREATE INDEX IF NOT EXISTS transactions_due ON transactions (settles_at)
  WHERE settles_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY,
  fingerprint BLOB NOT NULL,
  status INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS payment_methods (
  token TEXT PRIMARY KEY,
  behaves_like TEXT NOT NULL,
  customer TEXT,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS declines (
  token TEXT PRIMARY KEY,
  declined INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

COLUMNS: Final = (
    *("id", "kind", "charge", "reference", "idempotency_key", "status", "amount", "currency"),
    *("payment_method", "customer", "invoice_number", "description", "sequence"),
    *("decline_code", "settles_at", "settles_to", "created_at"),
)
INSERT: Final = (
    f"INSERT INTO transactions ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
)
TOTALS: Final = """
SELECT currency,
  SUM(CASE WHEN kind = 'charge' AND status = 'succeeded' THEN amount ELSE 0 END) AS charged,
  SUM(kind = 'charge' AND status = 'succeeded') AS charges,
  SUM(CASE WHEN kind = 'refund' AND status = 'succeeded' THEN amount ELSE 0 END) AS refunded,
  SUM(kind = 'refund' AND status = 'succeeded') AS refunds,
  SUM(CASE WHEN status = 'pending' THEN amount ELSE 0 END) AS pending,
  SUM(status IN ('declined', 'failed')) AS declines
FROM transactions WHERE ?1 IS NULL OR reference = ?1 GROUP BY currency ORDER BY currency
"""
DUPLICATES_MAX: Final = 1_000
"""References named as charged twice; one is already too many."""
COPIES_MAX: Final = 100
"""Transactions shown under one reference; there should be one."""
DUPLICATES: Final = f"""
SELECT reference FROM transactions
WHERE status IN ('succeeded', 'pending') AND (?1 IS NULL OR reference = ?1)
GROUP BY kind, reference HAVING COUNT(*) > 1 ORDER BY reference LIMIT {DUPLICATES_MAX}
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer that a key was given, and the fingerprint of the request it was given to."""

    fingerprint: bytes
    status: int
    body: bytes


class Ledger:
    """The books. All methods but `committed` are synchronous and belong to one event loop."""

    def __init__(self, path: Path | None) -> None:
        self._connection = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        # NORMAL in WAL mode: a commit survives the death of the process, which is what we promise.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -65536"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(SCHEMA)
        self._commit: asyncio.Future[None] | None = None

    def close(self) -> None:
        """Commit what is open and let go of the file."""
        self._finish()
        self._connection.close()

    def _write(self, sql: str, values: Iterable[Any]) -> int:
        if self._commit is None:
            loop = asyncio.get_running_loop()
            self._connection.execute("BEGIN IMMEDIATE")
            self._commit = loop.create_future()
            loop.call_soon(self._finish)
        return self._connection.execute(sql, tuple(values)).rowcount

    def _finish(self) -> None:
        commit, self._commit = self._commit, None
        if commit is None:
            return
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            commit.set_exception(error)
        else:
            commit.set_result(None)

    async def committed(self) -> None:
        """Return once everything written so far is on disk."""
        if self._commit is not None:
            await asyncio.shield(self._commit)

    def post(self, rows: list[dict[str, Any]]) -> None:
        """Enter transactions; each has a value for every one of COLUMNS it cares about."""
        for row in rows:
            self._write(INSERT, map(row.get, COLUMNS))

    def settle_due(self, now_ms: int) -> None:
        """Give pending transactions whose time has come their final status."""
        due = self._connection.execute(
            "SELECT 1 FROM transactions WHERE settles_at <= ? LIMIT 1", (now_ms,)
        ).fetchone()
        if due:
            self._write(
                "UPDATE transactions SET status = settles_to, settles_at = NULL, decline_code ="
                " CASE settles_to WHEN 'declined' THEN 'generic' END WHERE settles_at <= ?",
                (now_ms,),
            )

    def remember(self, key: str, answer: Stored) -> None:
        """Keep the answer of a key for ever."""
        self._write(
            "INSERT INTO answers VALUES (?, ?, ?, ?)",
            (key, answer.fingerprint, answer.status, answer.body),
        )

    def answer(self, key: str) -> Stored | None:
        """The answer kept for a key."""
        row = self._connection.execute(
            "SELECT fingerprint, status, body FROM answers WHERE key = ?", (key,)
        ).fetchone()
        return Stored(*row) if row else None

    def by_id(self, kind: str, own_id: str) -> list[dict[str, Any]]:
        """One transaction, or none."""
        rows = self._connection.execute(
            "SELECT * FROM transactions WHERE id = ? AND kind = ?", (own_id, kind)
        )
        return [dict(row) for row in rows]

    def by_reference(self, kind: str, reference: str) -> list[dict[str, Any]]:
        """All transactions that carry the caller's reference, oldest first."""
        rows = self._connection.execute(
            "SELECT * FROM transactions WHERE reference = ? AND kind = ? ORDER BY seq "
            f"LIMIT {COPIES_MAX}",
            (reference, kind),
        )
        return [dict(row) for row in rows]

    def refunded(self, charge: str) -> int:
        """How much of a charge is given back or on its way."""
        row = self._connection.execute(
            "SELECT COALESCE(SUM(amount), 0) FROM transactions"
            " WHERE charge = ? AND status IN ('succeeded', 'pending')",
            (charge,),
        ).fetchone()
        return int(row[0])

    def count_decline(self, token: str) -> int:
        """Count one more charge on this token; how many there were before."""
        row = self._connection.execute(
            "SELECT declined FROM declines WHERE token = ?", (token,)
        ).fetchone()
        self._write(
            "INSERT INTO declines VALUES (?, 1)"
            " ON CONFLICT (token) DO UPDATE SET declined = declined + 1",
            (token,),
        )
        return int(row[0]) if row else 0

    def vault(self, token: str, behaves_like: str, customer: str | None, now_ms: int) -> None:
        """Keep a payment-method token."""
        self._write(
            "INSERT INTO payment_methods VALUES (?, ?, ?, ?)",
            (token, behaves_like, customer, now_ms),
        )

    def payment_method(self, token: str) -> dict[str, Any] | None:
        """A token of the vault."""
        row = self._connection.execute(
            "SELECT * FROM payment_methods WHERE token = ?", (token,)
        ).fetchone()
        return dict(row) if row else None

    def detach(self, token: str) -> bool:
        """Forget a token of the vault; whether it was there."""
        return self._write("DELETE FROM payment_methods WHERE token = ?", (token,)) > 0

    def totals(self, reference: str | None) -> dict[str, dict[str, int]]:
        """Sums and counts by currency, of everything or of one reference."""
        rows = [dict(row) for row in self._connection.execute(TOTALS, (reference,))]
        return {row.pop("currency"): row for row in rows}

    def duplicates(self, reference: str | None) -> list[str]:
        """References under which money moves more than once; must be empty, always."""
        return [row[0] for row in self._connection.execute(DUPLICATES, (reference,))]

    def page(self, after: int, limit: int, reference: str | None) -> list[dict[str, Any]]:
        """Transactions in the order they were entered, from behind `after`."""
        rows = self._connection.execute(
            "SELECT * FROM transactions WHERE seq > ?1 AND (?3 IS NULL OR reference = ?3)"
            " ORDER BY seq LIMIT ?2",
            (after, limit, reference),
        )
        return [dict(row) for row in rows]
