"""The transactions in the simulator's books, and the answers that keys were given."""

from dataclasses import dataclass
from typing import Any, Final

from app.simulator.books import Books, Row

COLUMNS: Final = (
    *("id", "kind", "charge", "reference", "idempotency_key", "status", "amount", "currency"),
    *("authorized", "payment_method", "customer", "invoice_number", "description", "sequence"),
    *("network_transaction_id", "for_order", "client_secret", "decline_code"),
    *("settles_at", "settles_to", "created_at"),
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
  SUM(CASE WHEN status = 'authorized' THEN amount ELSE 0 END) AS authorized,
  SUM(status IN ('declined', 'failed')) AS declines
FROM transactions WHERE ?1 IS NULL OR reference = ?1 GROUP BY currency ORDER BY currency
"""
DUPLICATES_MAX: Final = 1_000
"""References named as charged twice; one is already too many."""
COPIES_MAX: Final = 100
"""Transactions shown under one reference; there should be one."""
DUPLICATES: Final = f"""
SELECT reference FROM transactions
WHERE status IN ('succeeded', 'authorized', 'pending') AND (?1 IS NULL OR reference = ?1)
GROUP BY kind, reference HAVING COUNT(*) > 1 ORDER BY reference LIMIT {DUPLICATES_MAX}
"""
LIVE: Final = "status IN ('succeeded', 'authorized', 'pending', 'requires_action')"


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer that a key was given, and the fingerprint of the request it was given to."""

    fingerprint: bytes
    status: int
    body: bytes


class Ledger(Books):
    """The books, with what is asked of transactions."""

    def post(self, rows: list[dict[str, Any]]) -> None:
        """Enter transactions; each has a value for every one of COLUMNS it cares about."""
        for row in rows:
            self.write(INSERT, map(row.get, COLUMNS))

    def settle_due(self, now_ms: int) -> list[Row]:
        """Give pending transactions whose time has come their final status; those concerned."""
        due = self.read("SELECT id FROM transactions WHERE settles_at <= ?", (now_ms,))
        if not due:
            return []
        self.write(
            "UPDATE transactions SET status = settles_to, settles_at = NULL, decline_code ="
            " CASE settles_to WHEN 'declined' THEN COALESCE(decline_code, 'generic') END"
            " WHERE settles_at <= ?",
            (now_ms,),
        )
        found = (self.one("transactions", row["id"]) for row in due)
        return [row for row in found if row is not None]

    def remember(self, key: str, answer: Stored) -> None:
        """Keep the answer of a key for ever."""
        self.write(
            "INSERT INTO answers VALUES (?, ?, ?, ?)",
            (key, answer.fingerprint, answer.status, answer.body),
        )

    def answer(self, key: str) -> Stored | None:
        """The answer kept for a key."""
        rows = self.read("SELECT fingerprint, status, body FROM answers WHERE key = ?", (key,))
        return Stored(**rows[0]) if rows else None

    def by_id(self, kind: str, own_id: str) -> list[Row]:
        """One transaction, or none."""
        return self.find("transactions", id=own_id, kind=kind)

    def by_reference(self, kind: str, reference: str) -> list[Row]:
        """All transactions that carry the caller's reference, oldest first."""
        return self.read(
            "SELECT * FROM transactions WHERE reference = ? AND kind = ? ORDER BY seq "
            f"LIMIT {COPIES_MAX}",
            (reference, kind),
        )

    def of_order(self, order: str) -> list[Row]:
        """The charges on an order that moved money or may yet."""
        return self.read(f"SELECT * FROM transactions WHERE for_order = ? AND {LIVE}", (order,))

    def lookalikes(self, row: Row, since_ms: int) -> list[Row]:
        """Charges of the same method, amount, currency and invoice that moved money or may yet."""
        return self.read(
            "SELECT * FROM transactions WHERE payment_method = ? AND created_at >= ?"
            " AND kind = 'charge' AND amount = ? AND currency = ? AND invoice_number IS ?"
            f" AND {LIVE}",
            (
                row["payment_method"],
                since_ms,
                row["amount"],
                row["currency"],
                row["invoice_number"],
            ),
        )

    def refunded(self, charge: str) -> int:
        """How much of a charge is given back or on its way."""
        rows = self.read(
            "SELECT COALESCE(SUM(amount), 0) AS amount FROM transactions"
            " WHERE charge = ? AND status IN ('succeeded', 'pending')",
            (charge,),
        )
        return int(rows[0]["amount"])

    def count_decline(self, token: str) -> int:
        """Count one more charge on this token; how many there were before."""
        rows = self.read("SELECT declined FROM declines WHERE token = ?", (token,))
        self.write(
            "INSERT INTO declines VALUES (?, 1)"
            " ON CONFLICT (token) DO UPDATE SET declined = declined + 1",
            (token,),
        )
        return int(rows[0]["declined"]) if rows else 0

    def totals(self, reference: str | None) -> dict[str, dict[str, int]]:
        """Sums and counts by currency, of everything or of one reference."""
        return {row.pop("currency"): row for row in self.read(TOTALS, (reference,))}

    def duplicates(self, reference: str | None) -> list[str]:
        """References under which money moves more than once; must be empty, always."""
        return [row["reference"] for row in self.read(DUPLICATES, (reference,))]

    def page(self, after: int, limit: int, reference: str | None) -> list[Row]:
        """Transactions in the order they were entered, from behind `after`."""
        return self.read(
            "SELECT * FROM transactions WHERE seq > ?1 AND (?3 IS NULL OR reference = ?3)"
            " ORDER BY seq LIMIT ?2",
            (after, limit, reference),
        )

    def made_between(self, start_ms: int, end_ms: int, after: int, limit: int) -> list[Row]:
        """Transactions made from `start_ms` on and before `end_ms`, from behind `after`."""
        return self.read(
            "SELECT * FROM transactions WHERE seq > ? AND created_at >= ? AND created_at < ?"
            " ORDER BY seq LIMIT ?",
            (after, start_ms, end_ms, limit),
        )
