"""Rows on disk, in SQLite: an answer leaves when what it says is written.

Every writer between two turns of the event loop shares one transaction (group commit): operations
are synchronous, so they never interleave, and an answer waits for `committed()`. A SIGKILL loses at
most what nobody has been told about.
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

ROWS_MAX: Final = 1_000
"""Rows read at once; longer lists are read page by page."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS transactions (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('charge', 'refund')),
  charge TEXT CHECK ((kind = 'refund') = (charge IS NOT NULL)),
  reference TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  status TEXT NOT NULL
    CHECK (status IN ('succeeded', 'authorized', 'pending', 'requires_action', 'declined',
      'voided', 'failed')),
  amount INTEGER NOT NULL CHECK (amount > 0),
  authorized INTEGER,
  currency TEXT NOT NULL,
  payment_method TEXT,
  customer TEXT,
  invoice_number TEXT,
  description TEXT,
  sequence TEXT,
  network_transaction_id TEXT,
  for_order TEXT,
  client_secret TEXT,
  decline_code TEXT,
  settles_at INTEGER,
  settles_to TEXT,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS transactions_reference ON transactions (reference);
CREATE INDEX IF NOT EXISTS transactions_charge ON transactions (charge) WHERE charge IS NOT NULL;
CREATE INDEX IF NOT EXISTS transactions_order ON transactions (for_order)
  WHERE for_order IS NOT NULL;
CREATE INDEX IF NOT EXISTS transactions_method ON transactions (payment_method, created_at);
CREATE INDEX IF NOT EXISTS transactions_due ON transactions (settles_at)
  WHERE settles_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY,
  fingerprint BLOB NOT NULL,
  status INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS declines (
  token TEXT PRIMARY KEY,
  declined INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS customers (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  reference TEXT NOT NULL UNIQUE,
  email TEXT,
  name TEXT,
  created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS payment_methods (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  behaves_like TEXT NOT NULL,
  customer TEXT,
  detached_at INTEGER,
  created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS setups (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  reference TEXT NOT NULL,
  customer TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('requires_action', 'succeeded', 'failed')),
  client_secret TEXT NOT NULL,
  payment_method TEXT,
  decline_code TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS orders (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  receipt TEXT NOT NULL,
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS orders_receipt ON orders (receipt);
CREATE TABLE IF NOT EXISTS disputes (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  charge TEXT NOT NULL,
  status TEXT NOT NULL
    CHECK (status IN ('needs_response', 'under_review', 'won', 'lost', 'closed')),
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL,
  withdrawn INTEGER NOT NULL,
  fee INTEGER NOT NULL,
  reason TEXT NOT NULL,
  due_by INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  body BLOB NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS events_due ON events (due_at) WHERE due_at IS NOT NULL;
"""

Row = dict[str, Any]


class Books:
    """All methods but `committed` are synchronous and belong to one event loop."""

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

    async def committed(self) -> None:
        """Return once everything written so far is on disk."""
        if self._commit is not None:
            await asyncio.shield(self._commit)

    def write(self, sql: str, values: Iterable[Any]) -> int:
        """One statement, in the transaction that this turn of the loop shares; rows touched."""
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

    def read(self, sql: str, values: Iterable[Any] = ()) -> list[Row]:
        """Rows, with what was written but is not committed yet."""
        return [dict(row) for row in self._connection.execute(sql, tuple(values))]

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """One new row."""
        places = ", ".join("?" * len(row))
        self.write(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", row.values())

    def change(self, table: str, own_id: str, **values: Any) -> None:
        """Other values in the row with this id."""
        changes = ", ".join(f"{name} = ?" for name in values)
        self.write(f"UPDATE {table} SET {changes} WHERE id = ?", (*values.values(), own_id))

    def one(self, table: str, own_id: str) -> Row | None:
        """The row with this id."""
        rows = self.read(f"SELECT * FROM {table} WHERE id = ?", (own_id,))
        return rows[0] if rows else None

    def find(self, table: str, **values: Any) -> list[Row]:
        """The rows with these values, oldest first."""
        where = " AND ".join(f"{name} = ?" for name in values)
        return self.read(
            f"SELECT * FROM {table} WHERE {where} ORDER BY seq LIMIT {ROWS_MAX}", values.values()
        )
