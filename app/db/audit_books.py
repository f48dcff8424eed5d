"""The invariants of invoices, of what was given back on them, and of the ledger, as queries."""

from typing import Final

from app.db.audit_check import Check

RETURNED: Final = """
    SELECT l.merchant_id, l.reverses_line_id AS line_id, -l.amount AS amount,
           -l.discount_amount AS discount, -l.tax_amount AS tax
      FROM invoice_lines l
      JOIN invoices i ON i.merchant_id = l.merchant_id AND i.id = l.invoice_id
     WHERE {mine:l} AND l.reverses_line_id IS NOT NULL AND i.status <> 'void'
    UNION ALL
    SELECT p.merchant_id, p.reverses_line_id, -p.amount,
           -(SELECT coalesce(sum((part->>1)::bigint), 0)
               FROM json_array_elements(p.discounts) part),
           -(SELECT coalesce(sum((part->>2)::bigint), 0) FROM json_array_elements(p.taxes) part)
      FROM pending_items p
     WHERE {mine:p} AND p.reverses_line_id IS NOT NULL AND p.invoice_id IS NULL
       AND p.deleted_at IS NULL
    UNION ALL
    SELECT n.merchant_id, n.invoice_line_id, n.amount, n.discount_amount, n.tax_amount
      FROM credit_note_lines n
      JOIN credit_notes c ON c.merchant_id = n.merchant_id AND c.id = n.credit_note_id
     WHERE {mine:n} AND n.invoice_line_id IS NOT NULL AND c.status <> 'void'
"""
"""What came back of each line: by lines of other invoices, by what waits, by credit notes."""

BOOKS: Final = (
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
        "The billed periods of a subscription follow each other without gap or overlap; but for "
        "where it was paused and resumed, began anew, was made longer, or had nothing to bill.",
        """
        SELECT f.merchant_id, f.subscription_id::text AS what FROM (
            SELECT merchant_id, subscription_id, count(*) AS n FROM (
                SELECT b.merchant_id, b.subscription_id, i.billing_reason, b.cycle_start,
                       b.period_start, b.period_end,
                       lead(b.period_start) OVER following AS next_start,
                       lead(i.billing_reason) OVER following AS next_reason
                  FROM {bills} b
                  JOIN invoices i ON i.merchant_id = b.merchant_id AND i.id = b.invoice_id
                 WHERE {mine:b} AND b.cycle_start IS NOT NULL
                   AND i.billing_reason <> 'subscription_cancel'
                   AND (i.created_at >= b.cycle_start -- else billed ahead: once that has begun
                        OR EXISTS (
                            SELECT FROM events e
                             WHERE e.merchant_id = b.merchant_id
                               AND e.object_id = b.subscription_id
                               AND e.type IN ('subscription.activated', 'subscription.renewed')
                               AND (e.data ->> 'period_start')::timestamptz = b.cycle_start))
                WINDOW following AS (PARTITION BY b.merchant_id, b.subscription_id
                                     ORDER BY b.cycle_start)) billed
             WHERE next_start <> period_end
               AND NOT (next_reason = 'subscription_update'
                        AND next_start BETWEEN period_start AND period_end)
               AND NOT (billing_reason = 'subscription_create'
                        AND next_reason = 'subscription_create')
               AND NOT EXISTS ( -- it was in a period that was not billed, or that came to end there
                   SELECT FROM (
                       SELECT (e.data ->> 'period_start')::timestamptz AS from_,
                              (e.data ->> 'period_end')::timestamptz AS to_
                         FROM events e
                        WHERE e.merchant_id = billed.merchant_id
                          AND e.object_id = billed.subscription_id
                          AND e.type IN ('subscription.created', 'subscription.activated',
                                         'subscription.renewed', 'subscription.updated')) told
                    WHERE to_ = next_start
                       OR (next_reason = 'subscription_update'
                           AND next_start > from_ AND next_start < to_))
             GROUP BY 1, 2) f
          LEFT JOIN (SELECT e.merchant_id, e.object_id, count(*) AS n FROM events e
                      WHERE {mine:e} AND e.type = 'subscription.resumed' GROUP BY 1, 2) r
            ON r.merchant_id = f.merchant_id AND r.object_id = f.subscription_id
         WHERE f.n > coalesce(r.n, 0)
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
          FULL JOIN (SELECT i.merchant_id, i.currency,
                            sum(i.amount_due - i.amount_paid - i.amount_credited) AS amount
                       FROM invoices i WHERE {mine:i} AND i.status = 'open' GROUP BY 1, 2) o
            ON o.merchant_id = l.merchant_id AND o.currency = l.currency
         WHERE coalesce(l.amount, 0) <> coalesce(o.amount, 0)
        """,
    ),
    Check(
        "tax_is_invoiced_tax",
        "The ledger's tax payable is the tax of invoices that stand, less that of credit notes.",
        """
        SELECT coalesce(l.merchant_id, o.merchant_id) AS merchant_id,
               coalesce(l.currency, o.currency) AS what
          FROM ({balance:tax_payable}) l
          FULL JOIN (SELECT merchant_id, currency, sum(amount) AS amount FROM (
                        SELECT i.merchant_id, i.currency, i.tax_total AS amount FROM invoices i
                         WHERE {mine:i} AND i.status NOT IN ('draft', 'void')
                        UNION ALL
                        SELECT c.merchant_id, c.currency, -c.tax_total FROM credit_notes c
                         WHERE {mine:c} AND c.status <> 'void') taxed GROUP BY 1, 2) o
            ON o.merchant_id = l.merchant_id AND o.currency = l.currency
         WHERE -coalesce(l.amount, 0) <> coalesce(o.amount, 0)
        """,
    ),
    Check(
        "revenue_is_invoiced_net",
        "Revenue, earned and deferred, is what the invoices that stand come to without tax, less "
        "credit notes.",
        """
        SELECT coalesce(l.merchant_id, o.merchant_id) AS merchant_id,
               coalesce(l.currency, o.currency) AS what
          FROM (SELECT merchant_id, currency, sum(amount) AS amount FROM (
                    {balance:revenue} UNION ALL {balance:deferred_revenue}) both_kinds
                 GROUP BY 1, 2) l
          FULL JOIN (SELECT merchant_id, currency, sum(amount) AS amount FROM (
                        SELECT i.merchant_id, i.currency, i.total - i.tax_total AS amount
                          FROM invoices i WHERE {mine:i} AND i.status NOT IN ('draft', 'void')
                        UNION ALL
                        SELECT c.merchant_id, c.currency, c.tax_total - c.total
                          FROM credit_notes c WHERE {mine:c} AND c.status <> 'void') net
                      GROUP BY 1, 2) o
            ON o.merchant_id = l.merchant_id AND o.currency = l.currency
         WHERE -coalesce(l.amount, 0) <> coalesce(o.amount, 0)
        """,
    ),
    Check(
        "bad_debt_is_written_off",
        "The ledger's bad debt is what invoices that were given up have left to pay.",
        """
        SELECT coalesce(l.merchant_id, o.merchant_id) AS merchant_id,
               coalesce(l.currency, o.currency) AS what
          FROM ({balance:bad_debt}) l
          FULL JOIN (SELECT i.merchant_id, i.currency,
                            sum(i.amount_due - i.amount_paid - i.amount_credited) AS amount
                       FROM invoices i WHERE {mine:i} AND i.status = 'uncollectible'
                      GROUP BY 1, 2) o
            ON o.merchant_id = l.merchant_id AND o.currency = l.currency
         WHERE coalesce(l.amount, 0) <> coalesce(o.amount, 0)
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
        "events_tell_of_invoices",
        "Every finalized invoice has its event, but for those that were void from the beginning; "
        "every void one has its own, and every paid one for each time that it was paid.",
        """
        SELECT i.merchant_id, i.id::text AS what FROM invoices i
          LEFT JOIN (SELECT e.merchant_id, e.object_id,
                            count(*) FILTER (WHERE e.type = 'invoice.finalized') AS finalized,
                            count(*) FILTER (WHERE e.type = 'invoice.paid')
                              - count(*) FILTER (WHERE e.type = 'invoice.reopened') AS paid,
                            count(*) FILTER (WHERE e.type = 'invoice.voided') AS voided
                       FROM events e WHERE {mine:e} AND e.object = 'invoice' GROUP BY 1, 2) e
            ON e.merchant_id = i.merchant_id AND e.object_id = i.id
         WHERE {mine:i}
           AND ((i.status = 'paid')::int <> coalesce(e.paid, 0)
                OR (i.status = 'void')::int <> coalesce(e.voided, 0)
                OR ((i.status <> 'draft')::int <> coalesce(e.finalized, 0)
                    AND NOT (i.status = 'void' AND i.voided_at = i.finalized_at
                             AND coalesce(e.finalized, 0) = 0)))
        """,
    ),
    Check(
        "signs_hold",
        "No discount takes more than its line; what gives back is below zero in all its parts.",
        """
        SELECT l.merchant_id, l.id::text AS what FROM invoice_lines l
         WHERE {mine:l} AND l.kind <> 'one_off'
           AND (l.reverses_line_id IS NULL AND (l.amount < 0 OR l.tax_amount < 0
                    OR l.discount_amount NOT BETWEEN 0 AND l.amount)
                OR l.reverses_line_id IS NOT NULL AND (l.tax_amount > 0
                    OR l.discount_amount NOT BETWEEN l.amount AND 0))
        """,
    ),
    Check(
        "credited_within_charged",
        "What came back of a line is no more than it charged; all of it is all of its discount "
        "and tax.",
        """
        SELECT l.merchant_id, l.id::text AS what
          FROM (SELECT merchant_id, line_id, sum(amount) AS amount, sum(discount) AS discount,
                       sum(tax) AS tax
                  FROM ({returned}) one_by_one GROUP BY 1, 2) r
          JOIN invoice_lines l ON l.merchant_id = r.merchant_id AND l.id = r.line_id
          JOIN invoices i ON i.merchant_id = l.merchant_id AND i.id = l.invoice_id
         WHERE i.status = 'void' OR l.reverses_line_id IS NOT NULL
            OR r.amount NOT BETWEEN 0 AND l.amount
            OR r.discount NOT BETWEEN 0 AND l.discount_amount
            OR r.tax NOT BETWEEN 0 AND l.tax_amount
            OR (r.amount = l.amount AND (r.discount, r.tax) <> (l.discount_amount, l.tax_amount))
        """,
    ),
    Check(
        "credit_parts_within_lines",
        "Of no single discount or tax of a line came back more than the line had of it.",
        """
        SELECT c.merchant_id, c.reverses_line_id::text AS what FROM (
            SELECT l.merchant_id, l.reverses_line_id, d.discount_id AS part, sum(-d.amount) AS back
              FROM invoice_lines l
              JOIN invoices i ON i.merchant_id = l.merchant_id AND i.id = l.invoice_id
              JOIN invoice_line_discounts d ON d.merchant_id = l.merchant_id AND d.line_id = l.id
             WHERE {mine:l} AND l.reverses_line_id IS NOT NULL AND i.status <> 'void'
             GROUP BY 1, 2, 3) c
          LEFT JOIN invoice_line_discounts o ON o.merchant_id = c.merchant_id
           AND o.line_id = c.reverses_line_id AND o.discount_id = c.part
         WHERE c.back NOT BETWEEN 0 AND coalesce(o.amount, 0)
        UNION ALL
        SELECT c.merchant_id, c.reverses_line_id::text FROM (
            SELECT l.merchant_id, l.reverses_line_id, t.tax_rate_id AS part, sum(-t.amount) AS back
              FROM invoice_lines l
              JOIN invoices i ON i.merchant_id = l.merchant_id AND i.id = l.invoice_id
              JOIN invoice_line_taxes t ON t.merchant_id = l.merchant_id AND t.line_id = l.id
             WHERE {mine:l} AND l.reverses_line_id IS NOT NULL AND i.status <> 'void'
             GROUP BY 1, 2, 3) c
          LEFT JOIN invoice_line_taxes o ON o.merchant_id = c.merchant_id
           AND o.line_id = c.reverses_line_id AND o.tax_rate_id = c.part
         WHERE c.back NOT BETWEEN 0 AND coalesce(o.amount, 0)
        """,
    ),
    Check(
        "pending_items_consistent",
        "What waits belongs to a customer and subscription that go on; what was billed is on an "
        "invoice of that customer.",
        """
        SELECT p.merchant_id, p.id::text AS what FROM pending_items p
          LEFT JOIN subscriptions s ON s.merchant_id = p.merchant_id AND s.id = p.subscription_id
          LEFT JOIN invoices i ON i.merchant_id = p.merchant_id AND i.id = p.invoice_id
         WHERE {mine:p}
           AND (p.customer_id IS DISTINCT FROM coalesce(s.customer_id, p.customer_id)
                OR p.customer_id IS DISTINCT FROM coalesce(i.customer_id, p.customer_id)
                OR (p.invoice_id IS NOT NULL AND p.deleted_at IS NOT NULL)
                OR (p.invoice_id IS NULL AND p.deleted_at IS NULL
                    AND s.status IN ('canceled', 'incomplete_expired')))
        """,
    ),
    Check(
        "pending_items_were_billed",
        "An invoice that took what was waiting has a line for each of it.",
        """
        SELECT p.merchant_id, p.invoice_id::text AS what
          FROM (SELECT p.merchant_id, p.invoice_id, p.kind, p.amount, p.period_start, count(*) AS n
                  FROM pending_items p
                 WHERE {mine:p} AND p.invoice_id IS NOT NULL GROUP BY 1, 2, 3, 4, 5) p
          LEFT JOIN (SELECT l.merchant_id, l.invoice_id, l.kind, l.amount, l.period_start,
                            count(*) AS n
                       FROM invoice_lines l WHERE {mine:l} GROUP BY 1, 2, 3, 4, 5) l
         USING (merchant_id, invoice_id, kind, amount, period_start)
         WHERE p.n > coalesce(l.n, 0)
        """,
    ),
    Check(
        "discounts_end",
        "No discount gives more periods than it has, or ends before what it is on began.",
        """
        SELECT d.merchant_id, d.id::text AS what FROM discounts d
          LEFT JOIN subscriptions s
            ON s.merchant_id = d.merchant_id AND s.id = d.subscription_id
         WHERE {mine:d} AND (d.periods_remaining < 0
                             OR d.ended_at < least(d.created_at, s.start_at))
        """,
    ),
)
