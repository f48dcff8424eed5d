"""What holds of dunning, as queries: nothing goes on that is over, nothing is forgotten, nothing is
planned that must not be tried.
"""

from typing import Final

from app.db.audit_check import Check

DUNNING: Final = (
    Check(
        "dunning_is_of_open_invoices",
        "Only open invoices are dunned; what was recovered is paid, unless it was taken back.",
        """
        SELECT r.merchant_id, r.id::text AS what FROM dunning_runs r
          JOIN invoices i ON i.merchant_id = r.merchant_id AND i.id = r.invoice_id
         WHERE {mine:r} AND ((r.status IN ('active', 'paused') AND i.status <> 'open')
                             OR (r.status = 'recovered' AND i.status NOT IN ('paid', 'void')
                                 AND NOT EXISTS (SELECT FROM payments p
                                                  WHERE p.merchant_id = i.merchant_id
                                                    AND p.invoice_id = i.id
                                                    AND p.status = 'reversed')))
        """,
    ),
    Check(
        "dunning_goes_on",
        "What is active has an attempt planned or under way, or will be looked at; what is paused "
        "or over has neither.",
        """
        SELECT r.merchant_id, r.id::text AS what FROM dunning_runs r
          LEFT JOIN payments p ON p.merchant_id = r.merchant_id AND p.invoice_id = r.invoice_id
           AND p.status NOT IN ('succeeded', 'canceled', 'failed', 'reversed')
         WHERE {mine:r} AND r.parked_at IS NULL
           AND CASE WHEN r.status = 'active'
                    THEN r.next_action_at IS NULL
                         AND (p.id IS NULL OR p.status = 'requires_payment_method')
                    ELSE r.next_attempt_at IS NOT NULL AND p.due_at = r.next_attempt_at END
        """,
    ),
    Check(
        "dunning_waits_where_it_must",
        "No attempt is planned by a method that is to be left alone until it changes.",
        """
        SELECT r.merchant_id, r.id::text AS what FROM dunning_runs r
          JOIN payments p ON p.merchant_id = r.merchant_id AND p.invoice_id = r.invoice_id
         WHERE {mine:r} AND r.status = 'active' AND p.status = 'scheduled'
           AND p.due_at = r.next_attempt_at AND p.payment_method_id = r.blocked_method_id
        """,
    ),
    Check(
        "dunning_within_limits",
        "Before a planned attempt fewer were made in 30 days than the policy allows.",
        """
        SELECT r.merchant_id, r.id::text AS what FROM dunning_runs r
          JOIN payments p ON p.merchant_id = r.merchant_id AND p.invoice_id = r.invoice_id
           AND p.status = 'scheduled' AND p.due_at = r.next_attempt_at
          JOIN payment_attempts a ON a.merchant_id = p.merchant_id AND a.payment_id = p.id
           AND a.created_at > r.next_attempt_at - interval '30 days'
         WHERE {mine:r} AND r.status = 'active'
         GROUP BY r.merchant_id, r.id
        HAVING count(*) >= max((r.terms ->> 'attempts_max')::int)
        """,
    ),
    Check(
        "dunning_is_told",
        "Every run has its first event, and every one that has ended its last, once.",
        """
        SELECT r.merchant_id, r.id::text AS what FROM dunning_runs r
          LEFT JOIN (SELECT e.merchant_id, e.object_id,
                            count(*) FILTER (WHERE e.type = 'dunning_run.started') AS started,
                            count(*) FILTER (WHERE e.type IN (
                                'dunning_run.stopped', 'dunning_run.recovered',
                                'dunning_run.exhausted')) AS ended
                       FROM events e WHERE {mine:e} AND e.object = 'dunning_run' GROUP BY 1, 2) e
            ON e.merchant_id = r.merchant_id AND e.object_id = r.id
         WHERE {mine:r} AND (coalesce(e.started, 0) <> 1
                             OR coalesce(e.ended, 0) <> (r.ended_at IS NOT NULL)::int)
        """,
    ),
    Check(
        "dunning_is_in_time",
        "No dunning has been due for more than ten minutes, and none is parked.",
        """
        SELECT r.merchant_id, r.id::text || coalesce(': ' || r.parked_reason, '') AS what
          FROM dunning_runs r
          LEFT JOIN test_clocks t ON t.merchant_id = r.merchant_id AND t.id = r.test_clock_id
         WHERE {mine:r}
           AND (r.parked_at IS NOT NULL
                OR (r.test_clock_id IS NULL AND r.next_action_at < $2)
                OR (t.status = 'ready' AND r.next_action_at <= t.frozen_at
                    AND r.method_changed_at IS NULL))
        """,
    ),
)
