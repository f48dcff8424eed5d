"""The invariants of what is told: an event for each change, its number, and its deliveries."""

from typing import Final

from app.db.audit_check import Check

TOLD: Final = (
    Check(
        "events_tell_of_payments",
        "Every payment and refund that came to its end has the event of it, and no other: a "
        "payment once, a refund as often as its money left or the gateway took its word back.",
        """
        WITH refunded AS (
            SELECT r.merchant_id, r.id, r.status, coalesce(l.n, 0) AS out FROM refunds r
              LEFT JOIN (SELECT l.merchant_id, l.source_id, count(*)::int AS n
                           FROM ledger_entries l
                          WHERE {mine:l} AND l.source = 'refund' AND l.debit = 'refunds'
                          GROUP BY 1, 2) l
                ON l.merchant_id = r.merchant_id AND l.source_id = r.id
             WHERE {mine:r})
        SELECT o.merchant_id, o.id::text AS what
          FROM (SELECT p.merchant_id, p.id, 'payment.succeeded' AS type,
                       (p.status IN ('succeeded', 'reversed'))::int AS n, 0 AS more
                  FROM payments p WHERE {mine:p}
                UNION ALL
                SELECT p.merchant_id, p.id, 'payment.reversed', (p.status = 'reversed')::int, 0
                  FROM payments p WHERE {mine:p} AND p.offline_method IS NOT NULL
                UNION ALL
                SELECT r.merchant_id, r.id, 'refund.succeeded', r.out, 0
                  FROM refunded r
                UNION ALL
                SELECT r.merchant_id, r.id, 'refund.failed', (r.status = 'failed')::int, r.out
                  FROM refunded r) o
          LEFT JOIN (SELECT e.merchant_id, e.object_id, e.type, count(*) AS n FROM events e
                      WHERE {mine:e} AND e.type IN
                            ('payment.succeeded', 'payment.reversed', 'refund.succeeded',
                             'refund.failed')
                      GROUP BY 1, 2, 3) e
            ON e.merchant_id = o.merchant_id AND e.object_id = o.id AND e.type = o.type
         WHERE coalesce(e.n, 0) NOT BETWEEN o.n AND o.n + o.more
        """,
    ),
    Check(
        "events_are_numbered_once",
        "Every event has its number, or waits in a batch to get it.",
        """
        SELECT e.merchant_id, e.id::text AS what FROM events e
          LEFT JOIN event_numbers n ON n.merchant_id = e.merchant_id AND n.event_id = e.id
          LEFT JOIN (SELECT b.merchant_id, unnest(b.event_ids) AS id FROM event_batches b
                      WHERE {mine:b}) w ON w.merchant_id = e.merchant_id AND w.id = e.id
         WHERE {mine:e} AND (n.event_id IS NULL) <> (w.id IS NOT NULL)
        """,
    ),
    Check(
        "numbers_have_no_gap",
        "The events of a merchant are numbered from one, without gaps, as far as its counter says.",
        """
        SELECT coalesce(c.merchant_id, n.merchant_id) AS merchant_id, 'event numbers' AS what
          FROM (SELECT c.merchant_id, c.last_number FROM event_counters c WHERE {mine:c}) c
          FULL JOIN (SELECT n.merchant_id, min(n.number) AS first, max(n.number) AS last,
                            count(*) AS n FROM event_numbers n WHERE {mine:n} GROUP BY 1) n
            ON n.merchant_id = c.merchant_id
         WHERE (coalesce(n.first, 1), coalesce(n.last, 0), coalesce(n.n, 0))
               IS DISTINCT FROM (1::bigint, c.last_number, c.last_number)
        """,
    ),
    Check(
        "endpoints_are_told",
        "Every enabled webhook endpoint has a delivery of each event that it asks for, from when "
        "it began to ask.",
        """
        SELECT w.merchant_id, e.id::text AS what
          FROM webhook_endpoints w
          JOIN webhook_lanes l ON l.merchant_id = w.merchant_id AND l.webhook_endpoint_id = w.id
          JOIN event_numbers n ON n.merchant_id = w.merchant_id AND n.number > l.complete_after
          JOIN events e ON e.merchant_id = n.merchant_id AND e.id = n.event_id
          LEFT JOIN webhook_deliveries d ON d.merchant_id = w.merchant_id AND d.event_id = e.id
           AND d.webhook_endpoint_id = w.id AND d.cause = 'event'
         WHERE {mine:w} AND w.enabled AND d.id IS NULL
           AND CASE WHEN e.type = 'webhook_endpoint.ping' THEN e.object_id = w.id
                    ELSE w.event_types && ARRAY['*', e.type, split_part(e.type, '.', 1) || '.*'] END
        """,
    ),
    Check(
        "deliveries_go_on",
        "Of what is pending for an object at an endpoint the first is due and no other, and "
        "whoever calls the endpoint will look.",
        """
        SELECT d.merchant_id, d.webhook_endpoint_id::text AS what FROM webhook_deliveries d
         WHERE {mine:d} AND d.status = 'pending'
         GROUP BY d.merchant_id, d.webhook_endpoint_id, d.object_id
        HAVING count(d.due_at) <> 1
            OR min(d.position) <> min(d.position) FILTER (WHERE d.due_at IS NOT NULL)
        UNION
        SELECT l.merchant_id, l.webhook_endpoint_id::text FROM webhook_lanes l
          JOIN webhook_endpoints w ON w.merchant_id = l.merchant_id AND w.id = l.webhook_endpoint_id
         WHERE {mine:l} AND w.enabled AND l.due_at IS NULL AND l.holder IS NULL
           AND EXISTS (SELECT FROM webhook_deliveries d
                        WHERE d.merchant_id = l.merchant_id AND d.due_at IS NOT NULL
                          AND d.webhook_endpoint_id = l.webhook_endpoint_id)
        """,
    ),
    Check(
        "attempts_are_written_down",
        "A delivery has as many attempts as it counts; if it was delivered, one that succeeded.",
        """
        SELECT d.merchant_id, d.id::text AS what FROM webhook_deliveries d
          LEFT JOIN (SELECT a.merchant_id, a.delivery_id, count(*) AS n,
                            bool_or(a.response_status BETWEEN 200 AND 299) AS succeeded
                       FROM webhook_attempts a WHERE {mine:a} GROUP BY 1, 2) a
            ON a.merchant_id = d.merchant_id AND a.delivery_id = d.id
         WHERE {mine:d} AND (d.attempt_count > coalesce(a.n, 0)
                             OR (d.status = 'delivered' AND NOT coalesce(a.succeeded, false)))
        """,
    ),
)
