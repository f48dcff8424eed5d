"""What dunning brought back, in sums."""

from datetime import datetime
from uuid import UUID

from app.db.base import Row
from app.db.views.base import Source


async def sums(source: Source, merchant_id: UUID, start: datetime, end: datetime) -> list[Row]:
    """Of runs that began in that time, by currency; and in each of these by the kind of decline
    they began with, by the attempt that succeeded, and by the month (UTC) in which they began.

    `is_by_…` says by what else a row is grouped.
    """
    return await source.fetch(
        """
        SELECT currency, category, attempt, month,
               grouping(category) = 0 AS is_by_category, grouping(attempt) = 0 AS is_by_attempt,
               grouping(month) = 0 AS is_by_month,
               count(*) AS runs, sum(amount)::bigint AS amount,
               count(*) FILTER (WHERE status = 'recovered') AS recovered_runs,
               sum(amount_recovered)::bigint AS recovered_amount,
               count(*) FILTER (WHERE status IN ('active', 'paused')) AS open_runs,
               coalesce(sum(amount) FILTER (WHERE status IN ('active', 'paused')), 0)::bigint
                   AS open_amount
          FROM (SELECT r.currency, r.status, r.amount, r.amount_recovered,
                       coalesce(r.first_category, 'no_method') AS category,
                       r.recovered_by_attempt AS attempt,
                       to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month
                  FROM dunning_runs r
                 WHERE r.merchant_id = $1 AND r.created_at >= $2 AND r.created_at < $3) begun
         GROUP BY GROUPING SETS
            ((currency), (currency, category), (currency, attempt), (currency, month))
         ORDER BY currency, category, attempt, month
        """,
        merchant_id,
        start,
        end,
    )
