"""What a new subscription is made of, read inside the merchant's transaction, in its own words."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.base import Row, Tx
from app.db.subscription_parts import rate
from app.domain.errors import InvalidRequest, NotFound
from app.domain.tax import TaxRate


async def customer(tx: Tx, customer_id: UUID) -> Row:
    """A customer with the time of its test clock, if it is on one, locked against change."""
    row = await tx.fetchrow(
        """
        SELECT c.merchant_id, c.id, c.zone, c.default_payment_method_id, c.deleted_at,
               c.country,
               c.test_clock_id, t.frozen_at, t.status AS clock_status
          FROM customers c LEFT JOIN test_clocks t
            ON t.merchant_id = c.merchant_id AND t.id = c.test_clock_id
         WHERE c.merchant_id = current_setting('app.merchant_id')::uuid AND c.id = $1
           FOR SHARE OF c
        """,
        customer_id,
    )
    if row is None or row["deleted_at"] is not None:
        raise NotFound("There is no such customer.", code="customer_not_found", param="customer_id")
    return row


async def anchor_of_customer(tx: Tx, customer_id: UUID) -> datetime | None:
    """Where the periods of a customer's oldest running subscription are counted from, if any."""
    anchor: datetime | None = await tx.fetchval(
        """
        SELECT anchor FROM subscriptions
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND customer_id = $1
           AND status IN ('trialing', 'active', 'past_due', 'unpaid') ORDER BY id LIMIT 1
        """,
        customer_id,
    )
    return anchor


async def clock_of_customer(tx: Tx, customer_id: UUID) -> Row | None:
    """The test clock that a customer is on, if any."""
    return await tx.fetchrow(
        """
        SELECT t.id, t.frozen_at, t.status FROM customers c JOIN test_clocks t
            ON t.merchant_id = c.merchant_id AND t.id = c.test_clock_id
         WHERE c.merchant_id = current_setting('app.merchant_id')::uuid AND c.id = $1
        """,
        customer_id,
    )


async def payment_method_of(tx: Tx, customer_id: UUID, method_id: UUID) -> None:
    """Check that a payment method is the customer's and attached. Raises InvalidRequest."""
    mine = await tx.fetchval(
        """
        SELECT true FROM payment_methods
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
           AND customer_id = $2 AND detached_at IS NULL
        """,
        method_id,
        customer_id,
    )
    if not mine:
        raise InvalidRequest(
            "The customer has no such payment method.",
            code="payment_method_not_found",
            param="payment_method_id",
        )


async def check_prices(tx: Tx, ids: Sequence[UUID], among: str = "items") -> None:
    """Check that prices exist, and are offered, `among` the items of a request.

    Raises InvalidRequest.
    """
    rows = await tx.fetch(
        """
        SELECT p.id, p.active AND l.active AS active
          FROM prices p JOIN plans l ON l.merchant_id = p.merchant_id AND l.id = p.plan_id
         WHERE p.merchant_id = current_setting('app.merchant_id')::uuid
           AND p.id = ANY ($1::uuid[])
        """,
        list(ids),
    )
    found = {row["id"]: row for row in rows}
    for place, wanted in enumerate(ids):
        param = f"{among}[{place}].price_id"
        if wanted not in found:
            raise InvalidRequest("There is no such price.", code="price_not_found", param=param)
        if not found[wanted]["active"]:
            raise InvalidRequest("This price is not offered.", code="price_inactive", param=param)


async def country_of(tx: Tx, customer_id: UUID) -> str | None:
    """Where a customer is."""
    country: str | None = await tx.fetchval(
        """
        SELECT country FROM customers
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        customer_id,
    )
    return country


async def has_tried(tx: Tx, customer_id: UUID, plan_id: UUID, family: str | None) -> bool:
    """Whether a customer has been on trial of a plan, or of any plan of its family."""
    return bool(
        await tx.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM subscriptions s
                  JOIN subscription_items i
                    ON i.merchant_id = s.merchant_id AND i.subscription_id = s.id
                  JOIN prices p ON p.merchant_id = i.merchant_id AND p.id = i.price_id
                  JOIN plans l ON l.merchant_id = p.merchant_id AND l.id = p.plan_id
                 WHERE s.merchant_id = current_setting('app.merchant_id')::uuid
                   AND s.customer_id = $1 AND s.trial_end IS NOT NULL
                   AND (l.id = $2 OR l.family = $3))
            """,
            customer_id,
            plan_id,
            family,
        )
    )


async def tax_rates(tx: Tx, ids: Sequence[UUID]) -> list[TaxRate]:
    """The active tax rates with these ids, in their order. Raises InvalidRequest."""
    rows = await tx.fetch(
        """
        SELECT id, rate_ppm, inclusive, jurisdiction, display_name FROM tax_rates
         WHERE merchant_id = current_setting('app.merchant_id')::uuid
           AND id = ANY ($1::uuid[]) AND active
        """,
        list(ids),
    )
    return _in_order(ids, {row["id"]: rate(row) for row in rows}, "tax rate", "tax_rate_ids")


def _in_order(ids: Sequence[UUID], found: dict[UUID, Any], noun: str, param: str) -> list[Any]:
    for place, wanted in enumerate(ids):
        if wanted not in found:
            raise InvalidRequest(f"There is no such active {noun}.", param=f"{param}[{place}]")
    return [found[wanted] for wanted in ids]
