"""The invariants of the books as queries: each finds what must not exist.

Every query takes a merchant or NULL for all, and the present time; it returns the merchant and
the id or name of each thing that is wrong.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.db.base import Row, Tx

OVERDUE_MAX: Final = timedelta(minutes=10)
"""A due subscription older than this means that the clock does not run."""
SAMPLES: Final = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant: its name, what it promises, and the query for its exceptions."""

    name: str
    promise: str
    sql: str


MINE: Final = "($1::uuid IS NULL OR {0}.merchant_id = $1)"

CHECKS: Final = (
    Check(
        "lines_add_up",
        "The lines of an invoice add up to its subtotal, discounts and taxes.",
        """
        SELECT i.merchant_id, i.id::text AS what FROM invoices i
          LEFT JOIN (SELECT merchant_id, invoice_id, sum(amount) AS amount,
                            sum(discount_amount) AS discount, sum(tax_amount) AS tax
                       FROM invoice_lines GROUP BY 1, 2) l
            ON l.merchant_id = i.merchant_id AND l.invoice_id = i.id
         WHERE {mine:i}
           AND (coalesce(l.amount, 0), coalesce(l.discount, 0), coalesce(l.tax, 0))
               IS DISTINCT FROM (i.subtotal, i.discount_total, i.tax_total)
        """,
    ),
    Check(
        "parts_add_up",
        "The parts of discounts and taxes on a line add up to the line's own.",
        """
        SELECT l.merchant_id, l.id::text AS what FROM invoice_lines l
          LEFT JOIN (SELECT merchant_id, line_id, sum(amount) AS amount
                       FROM invoice_line_discounts GROUP BY 1, 2) d
            ON d.merchant_id = l.merchant_id AND d.line_id = l.id
          LEFT JOIN (SELECT merchant_id, line_id, sum(amount) AS amount
                       FROM invoice_line_taxes GROUP BY 1, 2) t
            ON t.merchant_id = l.merchant_id AND t.line_id = l.id
         WHERE {mine:l}
           AND (coalesce(d.amount, 0), coalesce(t.amount, 0))
               IS DISTINCT FROM (l.discount_amount, l.tax_amount)
        """,
    ),
    Check(
        "credit_notes_add_up",
        "The lines of a credit note add up to it, and their parts to them.",
        """
        SELECT n.merchant_id, n.id::text AS what FROM credit_notes n
          LEFT JOIN (SELECT l.merchant_id, l.credit_note_id, sum(l.amount) AS amount,
                            sum(l.discount_amount) AS discount, sum(l.tax_amount) AS tax,
                            bool_and(l.discount_amount = (
                                SELECT coalesce(sum((d ->> 1)::bigint), 0)
                                  FROM json_array_elements(l.discounts) d)
                              AND l.tax_amount = (
                                SELECT coalesce(sum((t ->> 2)::bigint), 0)
                                  FROM json_array_elements(l.taxes) t)) AS parts
                       FROM credit_note_lines l GROUP BY 1, 2) l
            ON l.merchant_id = n.merchant_id AND l.credit_note_id = n.id
         WHERE {mine:n}
           AND (coalesce(l.amount, 0), coalesce(l.discount, 0), coalesce(l.tax, 0),
                coalesce(l.parts, false))
               IS DISTINCT FROM (n.subtotal, n.discount_total, n.tax_total, true)
        """,
    ),
    Check(
        "credited_within_charged",
        "What came back of a line, by whatever way, is no more than was charged on it.",
        """
        SELECT l.merchant_id, l.id::text AS what FROM (
            SELECT n.merchant_id, n.invoice_line_id AS line_id, n.amount, n.discount_amount,
                   n.tax_amount
              FROM credit_note_lines n JOIN credit_notes c
                ON c.merchant_id = n.merchant_id AND c.id = n.credit_note_id
             WHERE {mine:n} AND c.status <> 'void'
            UNION ALL
            SELECT b.merchant_id, b.reverses_line_id, -b.amount, -b.discount_amount, -b.tax_amount
              FROM invoice_lines b JOIN invoices i
                ON i.merchant_id = b.merchant_id AND i.id = b.invoice_id
             WHERE {mine:b} AND b.reverses_line_id IS NOT NULL AND i.status <> 'void'
            ) back
          JOIN invoice_lines l ON l.merchant_id = back.merchant_id AND l.id = back.line_id
         GROUP BY l.merchant_id, l.id, l.amount, l.discount_amount, l.tax_amount
        HAVING sum(back.amount) > l.amount OR sum(back.discount_amount) > l.discount_amount
            OR sum(back.tax_amount) > l.tax_amount
        """,
    ),
    Check(
        "credited_off_invoices",
        "What was credited off an invoice is what its credit notes say.",
        """
        SELECT i.merchant_id, i.id::text AS what FROM invoices i
          LEFT JOIN (SELECT merchant_id, invoice_id, sum(to_invoice) AS amount FROM credit_notes
                      WHERE status <> 'void' GROUP BY 1, 2) n
            ON n.merchant_id = i.merchant_id AND n.invoice_id = i.id
         WHERE {mine:i} AND i.amount_credited <> coalesce(n.amount, 0)
        """,
    ),
    Check(
        "periods_contiguous",
        "The billed periods of a subscription follow each other without gap or overlap.",
        """
        SELECT merchant_id, id::text AS what FROM (
            SELECT i.merchant_id, i.id, i.period_end,
                   lead(i.period_start) OVER (PARTITION BY i.merchant_id, i.subscription_id
                                              ORDER BY i.cycle_start) AS following
              FROM invoices i WHERE {mine:i} AND i.cycle_start IS NOT NULL
               AND i.billing_reason IN ('subscription_create', 'subscription_cycle')) billed
         WHERE following <> period_end
        """,
    ),
    Check(
        "numbers_gapless",
        "The numbers of a series run from its first one without a gap.",
        """
        SELECT s.merchant_id, s.series AS what FROM invoice_series s
          LEFT JOIN (SELECT n.merchant_id, n.series, count(*) AS n, min(series_number) AS low,
                            max(series_number) AS high
                       FROM (SELECT merchant_id, series, series_number FROM invoices
                              UNION ALL
                             SELECT merchant_id, series, series_number FROM credit_notes) n
                       JOIN invoice_series f
                         ON f.merchant_id = n.merchant_id AND f.series = n.series
                      WHERE n.series_number >= f.first_number GROUP BY 1, 2) i
            ON i.merchant_id = s.merchant_id AND i.series = s.series
         WHERE {mine:s}
           AND (coalesce(i.n, 0) <> s.next_number - s.first_number
                OR (i.n > 0 AND (i.low <> s.first_number OR i.high <> s.next_number - 1)))
        """,
    ),
    Check(
        "receivable_is_open_invoices",
        "The ledger's receivables are what open invoices have left to pay.",
        """
        SELECT coalesce(l.merchant_id, o.merchant_id) AS merchant_id,
               coalesce(l.currency, o.currency) AS what
          FROM ({balance:receivable}) l
          FULL JOIN (SELECT i.merchant_id, i.currency, sum(i.amount_due - i.amount_paid - i.amount_credited)
                         AS amount
                       FROM invoices i WHERE {mine:i} AND i.status = 'open' GROUP BY 1, 2) o
            ON o.merchant_id = l.merchant_id AND o.currency = l.currency
         WHERE coalesce(l.amount, 0) <> coalesce(o.amount, 0)
        """,
    ),
    Check(
        "tax_is_invoiced_tax",
        "The ledger's tax payable is the tax of the invoices that stand, less their credit notes'.",
        """
        SELECT coalesce(l.merchant_id, o.merchant_id) AS merchant_id,
               coalesce(l.currency, o.currency) AS what
          FROM ({balance:tax_payable}) l
          FULL JOIN (SELECT merchant_id, currency, sum(tax) AS amount FROM (
                         SELECT i.merchant_id, i.currency, i.tax_total AS tax FROM invoices i
                          WHERE {mine:i} AND i.status NOT IN ('draft', 'void')
                         UNION ALL
                         SELECT n.merchant_id, n.currency, -n.tax_total FROM credit_notes n
                          WHERE {mine:n} AND n.status <> 'void') stands GROUP BY 1, 2) o
            ON o.merchant_id = l.merchant_id AND o.currency = l.currency
         WHERE -coalesce(l.amount, 0) <> coalesce(o.amount, 0)
        """,
    ),
    Check(
        "credit_is_balances",
        "The ledger's customer credit is the sum of the customers' balances.",
        """
        SELECT coalesce(l.merchant_id, o.merchant_id) AS merchant_id,
               coalesce(l.currency, o.currency) AS what
          FROM ({balance:customer_credit}) l
          FULL JOIN (SELECT b.merchant_id, b.currency, sum(b.balance) AS amount
                       FROM customer_balances b WHERE {mine:b} GROUP BY 1, 2) o
            ON o.merchant_id = l.merchant_id AND o.currency = l.currency
         WHERE -coalesce(l.amount, 0) <> coalesce(o.amount, 0)
        """,
    ),
    Check(
        "balances_are_their_movements",
        "A customer's balance is the sum of its movements.",
        """
        SELECT b.merchant_id, b.customer_id::text AS what FROM customer_balances b
          LEFT JOIN (SELECT merchant_id, customer_id, currency, sum(amount) AS amount
                       FROM balance_transactions GROUP BY 1, 2, 3) t
            ON t.merchant_id = b.merchant_id AND t.customer_id = b.customer_id
           AND t.currency = b.currency
         WHERE {mine:b} AND coalesce(t.amount, 0) <> b.balance
        """,
    ),
    Check(
        "cash_is_captured_less_refunded",
        "The ledger's cash at a gateway is what attempts captured, less fees and refunds.",
        """
        SELECT coalesce(l.merchant_id, o.merchant_id) AS merchant_id,
               coalesce(l.account, o.account) AS what
          FROM (SELECT merchant_id, account, currency, sum(amount) AS amount FROM (
                    SELECT e.merchant_id, e.debit AS account, e.currency, e.amount
                      FROM ledger_entries e WHERE {mine:e} AND e.debit LIKE 'cash:%'
                       AND e.debit <> 'cash:outside'
                    UNION ALL
                    SELECT e.merchant_id, e.credit, e.currency, -e.amount
                      FROM ledger_entries e WHERE {mine:e} AND e.credit LIKE 'cash:%'
                       AND e.credit <> 'cash:outside') both_sides GROUP BY 1, 2, 3) l
          FULL JOIN (SELECT merchant_id, account, currency, sum(amount) AS amount FROM (
                    SELECT a.merchant_id, 'cash:' || a.gateway_account_id AS account, a.currency,
                           a.amount - coalesce(a.fee, 0) AS amount
                      FROM payment_attempts a WHERE {mine:a} AND a.status = 'succeeded'
                    UNION ALL
                    SELECT r.merchant_id, 'cash:' || r.gateway_account_id, r.currency, -r.amount
                      FROM refunds r WHERE {mine:r} AND r.status = 'succeeded'
                    ) moved GROUP BY 1, 2, 3) o
            ON o.merchant_id = l.merchant_id AND o.account = l.account AND o.currency = l.currency
         WHERE coalesce(l.amount, 0) <> coalesce(o.amount, 0)
        """,
    ),
    Check(
        "paid_has_a_payment",
        "What is paid on an invoice was captured by its payments or came from outside.",
        """
        SELECT i.merchant_id, i.id::text AS what FROM invoices i
          LEFT JOIN (SELECT merchant_id, invoice_id, sum(amount_captured) AS amount
                       FROM payments GROUP BY 1, 2) p
            ON p.merchant_id = i.merchant_id AND p.invoice_id = i.id
          LEFT JOIN (SELECT merchant_id, source_id, sum(amount) AS amount FROM ledger_entries
                      WHERE debit = 'cash:outside' AND source = 'invoice' GROUP BY 1, 2) o
            ON o.merchant_id = i.merchant_id AND o.source_id = i.id
         WHERE {mine:i} AND i.amount_paid <> coalesce(p.amount, 0) + coalesce(o.amount, 0)
        """,
    ),
    Check(
        "one_capture_per_payment",
        "A payment that succeeded was captured by exactly one attempt, and no other by any.",
        """
        SELECT p.merchant_id, p.id::text AS what FROM payments p
          LEFT JOIN (SELECT merchant_id, payment_id, count(*) AS n, sum(amount) AS amount
                       FROM payment_attempts WHERE status = 'succeeded' GROUP BY 1, 2) a
            ON a.merchant_id = p.merchant_id AND a.payment_id = p.id
         WHERE {mine:p} AND (coalesce(a.n, 0), coalesce(a.amount, 0))
               IS DISTINCT FROM ((p.status = 'succeeded')::int, p.amount_captured)
        """,
    ),
    Check(
        "in_flight_has_an_attempt",
        "A payment in flight has an attempt in flight, and only such a one.",
        """
        SELECT p.merchant_id, p.id::text AS what FROM payments p
          LEFT JOIN (SELECT merchant_id, payment_id, count(*) AS n FROM payment_attempts
                      WHERE status IN ('processing', 'unknown', 'requires_action') GROUP BY 1, 2) a
            ON a.merchant_id = p.merchant_id AND a.payment_id = p.id
         WHERE {mine:p} AND (p.status IN ('processing', 'unknown', 'requires_action'))
               <> (coalesce(a.n, 0) > 0)
        """,
    ),
    Check(
        "refunds_match",
        "A payment's refunded and reserved amounts are those of its refunds.",
        """
        SELECT p.merchant_id, p.id::text AS what FROM payments p
          LEFT JOIN (SELECT merchant_id, payment_id,
                            coalesce(sum(amount) FILTER (WHERE status = 'succeeded'), 0) AS done,
                            coalesce(sum(amount) FILTER
                                (WHERE status IN ('processing', 'unknown')), 0) AS held
                       FROM refunds GROUP BY 1, 2) r
            ON r.merchant_id = p.merchant_id AND r.payment_id = p.id
         WHERE {mine:p} AND (p.amount_refunded, p.amount_refund_reserved)
               IS DISTINCT FROM (coalesce(r.done, 0), coalesce(r.held, 0))
        """,
    ),
    Check(
        "events_tell_of_invoices",
        "Every finalized invoice has its event, every paid one too.",
        """
        SELECT i.merchant_id, i.id::text AS what FROM invoices i
          LEFT JOIN (SELECT merchant_id, object_id,
                            count(*) FILTER (WHERE type = 'invoice.finalized') AS finalized,
                            count(*) FILTER (WHERE type = 'invoice.paid') AS paid
                       FROM events WHERE object = 'invoice' GROUP BY 1, 2) e
            ON e.merchant_id = i.merchant_id AND e.object_id = i.id
         WHERE {mine:i} AND ((i.status <> 'draft')::int <> coalesce(e.finalized, 0)
                             OR (i.status = 'paid')::int <> coalesce(e.paid, 0))
        """,
    ),
    Check(
        "nothing_overdue",
        "No subscription or draft has been due for more than ten minutes, unless it is parked.",
        """
        SELECT s.merchant_id, s.id::text AS what FROM subscriptions s
          LEFT JOIN test_clocks t ON t.merchant_id = s.merchant_id AND t.id = s.test_clock_id
         WHERE {mine:s} AND s.parked_at IS NULL
           AND ((s.test_clock_id IS NULL AND s.next_action_at < $2)
                OR (t.status = 'ready' AND s.next_action_at <= t.frozen_at))
        UNION ALL
        SELECT i.merchant_id, i.id::text FROM invoices i
          LEFT JOIN test_clocks t ON t.merchant_id = i.merchant_id AND t.id = i.test_clock_id
         WHERE {mine:i} AND i.status = 'draft' AND i.parked_at IS NULL
           AND ((i.test_clock_id IS NULL AND i.finalize_at < $2)
                OR (t.status = 'ready' AND i.finalize_at <= t.frozen_at))
        """,
    ),
    Check(
        "nothing_parked",
        "No subscription or draft is parked.",
        """
        SELECT s.merchant_id, s.id::text || ': ' || s.parked_reason AS what FROM subscriptions s
         WHERE {mine:s} AND s.parked_at IS NOT NULL
        UNION ALL
        SELECT i.merchant_id, i.id::text || ': ' || i.parked_reason FROM invoices i
         WHERE {mine:i} AND i.status = 'draft' AND i.parked_at IS NOT NULL
        """,
    ),
    Check(
        "nothing_awaits_review",
        "No attempt or refund waits for a person to find out what became of it.",
        """
        SELECT a.merchant_id, a.id::text || ': ' || coalesce(a.detail, '') AS what
          FROM payment_attempts a
         WHERE {mine:a} AND (a.detail LIKE 'manual_review:%'
                OR (a.status IN ('processing', 'unknown', 'requires_action')
                    AND a.look_up_at IS NULL))
        UNION ALL
        SELECT r.merchant_id, r.id::text || ': ' || coalesce(r.detail, '') FROM refunds r
         WHERE {mine:r} AND r.status IN ('processing', 'unknown') AND r.look_up_at IS NULL
        """,
    ),
)


def _sql(check: Check) -> str:
    """The query with its shorthands written out."""
    sql = check.sql
    for account in ("receivable", "tax_payable", "customer_credit"):
        sql = sql.replace(
            "{balance:" + account + "}",
            f"""SELECT merchant_id, currency, sum(amount) AS amount FROM (
                    SELECT e.merchant_id, e.currency, e.amount FROM ledger_entries e
                     WHERE {{mine:e}} AND e.debit = '{account}'
                    UNION ALL
                    SELECT e.merchant_id, e.currency, -e.amount FROM ledger_entries e
                     WHERE {{mine:e}} AND e.credit = '{account}') both_sides GROUP BY 1, 2""",
        )
    for alias in "abeilnprs":
        sql = sql.replace("{mine:" + alias + "}", MINE.format(alias))
    return sql


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
