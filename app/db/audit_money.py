"""The invariants of money that moved, and of work that must not be left lying, as queries."""

from typing import Final

from app.db.audit_check import Check

MONEY: Final = (
    Check(
        "cash_is_captured_less_refunded",
        "The ledger's cash at a gateway is what attempts captured, less fees, refunds and what "
        "disputes took, and what came late and became credit.",
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
                       AND r.destination = 'gateway'
                    UNION ALL
                    SELECT s.merchant_id, 'cash:' || s.gateway_account_id, s.currency,
                           -s.withdrawn - coalesce(s.fee, 0)
                      FROM disputes s WHERE {mine:s}
                    UNION ALL
                    SELECT b.merchant_id, 'cash:' || d.gateway_account_id, b.currency, b.amount
                      FROM balance_transactions b JOIN reconciliation_differences d
                        ON d.merchant_id = b.merchant_id AND d.gateway_reference = b.description
                       AND d.kind IN ('charged_twice', 'charge_after_closing',
                                      'charge_amount_differs')
                     WHERE {mine:b} AND b.type = 'late_payment'
                    ) moved GROUP BY 1, 2, 3) o
            ON o.merchant_id = l.merchant_id AND o.account = l.account AND o.currency = l.currency
         WHERE coalesce(l.amount, 0) <> coalesce(o.amount, 0)
        """,
    ),
    Check(
        "disputes_are_what_was_withdrawn",
        "The ledger's disputes are what gateways withdrew and may still give back; its dispute "
        "losses what they will not.",
        """
        SELECT coalesce(l.merchant_id, o.merchant_id) AS merchant_id,
               coalesce(l.account || ' ' || l.currency, o.account || ' ' || o.currency) AS what
          FROM (SELECT merchant_id, currency, 'disputes' AS account, amount
                  FROM ({balance:disputes}) at_stake
                UNION ALL
                SELECT merchant_id, currency, 'dispute_losses', amount
                  FROM ({balance:dispute_losses}) lost) l
          FULL JOIN (SELECT d.merchant_id, d.currency,
                            CASE WHEN d.status = 'lost' THEN 'dispute_losses'
                                 ELSE 'disputes' END AS account,
                            sum(d.withdrawn) AS amount
                       FROM disputes d WHERE {mine:d} GROUP BY 1, 2, 3) o
            ON o.merchant_id = l.merchant_id AND o.currency = l.currency
           AND o.account = l.account
         WHERE coalesce(l.amount, 0) <> coalesce(o.amount, 0)
        """,
    ),
    Check(
        "disputes_are_told",
        "Every dispute has its first event, and every one that has ended its last.",
        """
        SELECT d.merchant_id, d.id::text AS what FROM disputes d
          LEFT JOIN (SELECT e.merchant_id, e.object_id,
                            count(*) FILTER (WHERE e.type = 'dispute.created') AS created,
                            count(*) FILTER (WHERE e.type = 'dispute.closed') AS closed
                       FROM events e WHERE {mine:e} AND e.object = 'dispute' GROUP BY 1, 2) e
            ON e.merchant_id = d.merchant_id AND e.object_id = d.id
         WHERE {mine:d}
           AND (coalesce(e.created, 0) <> 1
                OR (d.closed_at IS NOT NULL AND coalesce(e.closed, 0) = 0))
        """,
    ),
    Check(
        "paid_has_a_payment",
        "What is paid on an invoice came by its payments, or was noted as paid outside before "
        "those were payments of their own.",
        """
        SELECT i.merchant_id, i.id::text AS what FROM invoices i
          LEFT JOIN (SELECT merchant_id, invoice_id,
                            sum(amount_captured - amount_to_balance) AS amount
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
        "A payment of a gateway that succeeded was captured by exactly one attempt, and no other "
        "by any.",
        """
        SELECT p.merchant_id, p.id::text AS what FROM payments p
          LEFT JOIN (SELECT merchant_id, payment_id, count(*) AS n, sum(amount) AS amount
                       FROM payment_attempts WHERE status = 'succeeded' GROUP BY 1, 2) a
            ON a.merchant_id = p.merchant_id AND a.payment_id = p.id
         WHERE {mine:p} AND (coalesce(a.n, 0), coalesce(a.amount, 0))
               IS DISTINCT FROM
               ((p.status = 'succeeded' AND p.offline_method IS NULL)::int,
                CASE WHEN p.offline_method IS NULL THEN p.amount_captured ELSE 0 END)
        """,
    ),
    Check(
        "cash_outside_is_what_was_recorded",
        "The ledger's cash outside of any gateway is what was recorded as received, less what was "
        "given back that way.",
        """
        SELECT coalesce(l.merchant_id, o.merchant_id) AS merchant_id,
               coalesce(l.currency, o.currency) AS what
          FROM (SELECT merchant_id, currency, sum(amount) AS amount FROM (
                    SELECT e.merchant_id, e.currency, e.amount FROM ledger_entries e
                     WHERE {mine:e} AND e.debit = 'cash:outside' AND e.source <> 'invoice'
                    UNION ALL
                    SELECT e.merchant_id, e.currency, -e.amount FROM ledger_entries e
                     WHERE {mine:e} AND e.credit = 'cash:outside') both_sides GROUP BY 1, 2) l
          FULL JOIN (SELECT merchant_id, currency, sum(amount) AS amount FROM (
                    SELECT p.merchant_id, p.currency, p.amount_captured AS amount
                      FROM payments p WHERE {mine:p} AND p.offline_method IS NOT NULL
                    UNION ALL
                    SELECT r.merchant_id, r.currency, -r.amount FROM refunds r
                     WHERE {mine:r} AND r.destination = 'outside'
                    UNION ALL
                    SELECT c.merchant_id, c.currency, -c.outside FROM credit_notes c
                     WHERE {mine:c} AND c.status <> 'void') moved GROUP BY 1, 2) o
            ON o.merchant_id = l.merchant_id AND o.currency = l.currency
         WHERE coalesce(l.amount, 0) <> coalesce(o.amount, 0)
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
        "No attempt or refund waits for a person to find out what became of it; but for those that "
        "are over, and whose differences from the gateway's books are mended. No payment is put off"
        ", as where its gateway account does not open.",
        """
        SELECT a.merchant_id, a.id::text || ': ' || coalesce(a.detail, '') AS what
          FROM payment_attempts a
          LEFT JOIN (SELECT d.merchant_id, d.payment_attempt_id,
                            bool_and(d.resolved_at IS NOT NULL) AS is_mended
                       FROM reconciliation_differences d
                      WHERE {mine:d} AND d.kind IN ('charged_twice', 'charge_after_closing',
                                                    'charge_undone_there')
                      GROUP BY 1, 2) about
            ON about.merchant_id = a.merchant_id AND about.payment_attempt_id = a.id
         WHERE {mine:a}
           AND CASE WHEN a.status IN ('processing', 'unknown', 'requires_action')
                    THEN a.detail LIKE 'manual_review:%' OR a.look_up_at IS NULL
                    ELSE a.detail LIKE 'manual_review:%' AND about.is_mended IS NOT TRUE END
        UNION ALL
        SELECT r.merchant_id, r.id::text || ': ' || coalesce(r.detail, '') FROM refunds r
          LEFT JOIN (SELECT d.merchant_id, d.gateway_account_id, d.our_reference,
                            bool_and(d.resolved_at IS NOT NULL) AS is_mended
                       FROM reconciliation_differences d
                      WHERE {mine:d} AND d.kind IN ('refund_unknown_here', 'refund_undone_there',
                                                    'refund_after_closing')
                      GROUP BY 1, 2, 3) about
            ON about.merchant_id = r.merchant_id
           AND about.gateway_account_id = r.gateway_account_id
           AND about.our_reference = r.reference
         WHERE {mine:r}
           AND CASE WHEN r.status IN ('processing', 'unknown')
                    THEN r.detail LIKE 'manual_review:%' OR r.look_up_at IS NULL
                    ELSE r.detail LIKE 'manual_review:%' AND about.is_mended IS NOT TRUE END
        UNION ALL
        SELECT p.merchant_id, p.id::text || ': ' || p.postponed_reason FROM payments p
         WHERE {mine:p} AND p.postponed_reason IS NOT NULL
        """,
    ),
    Check(
        "the_clock_will_come",
        "Every subscription that goes on will be looked at again by the time its period ends; one "
        "that is paused at least when it resumes.",
        """
        SELECT s.merchant_id, s.id::text AS what FROM subscriptions s
         WHERE {mine:s} AND s.status NOT IN ('canceled', 'incomplete_expired')
           AND CASE WHEN s.status = 'paused'
                    THEN s.next_action_at IS DISTINCT FROM s.resumes_at
                         AND (s.next_action_at IS NULL OR s.next_action_at > s.resumes_at)
                    WHEN s.status = 'incomplete' OR s.period_end IS NULL
                    THEN s.next_action_at IS NULL
                    ELSE s.next_action_at IS NULL OR s.next_action_at > s.period_end END
        """,
    ),
)
