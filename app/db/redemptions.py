"""Rows of `redemptions`: what was asked for is resolved, judged, and counted under a lock.

A subscription's coupons are resolved first, inside its transaction, and redeemed just before the
commit: the count is a conditional update of the coupon's row, which everyone else who redeems it
waits for. So a coupon with five left is redeemed five times, whoever comes at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.db import coupons, events, promotion_codes
from app.db.base import Tx
from app.db.views import REDEMPTION, one
from app.db.views.base import Source
from app.domain import redemption
from app.domain.discount import Coupon, Kind
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Type
from app.domain.money import CurrencyMismatch
from app.domain.redemption import Redeemer, Refusal
from app.ids import new_id


class Resolved(NamedTuple):
    """A coupon that may be given, and the code it was asked for by."""

    coupon: Coupon
    promotion_code_id: UUID | None


@dataclass(frozen=True, slots=True)
class History:
    """What a customer has had so far: whether an invoice was paid, and coupons by id."""

    customer_id: UUID | None
    has_paid: bool
    coupons: Mapping[UUID, int]

    def of(self, coupon_id: UUID) -> Redeemer:
        """The customer, as the terms of that coupon see one."""
        return Redeemer(self.customer_id, self.has_paid, self.coupons.get(coupon_id, 0))


async def history(source: Source, customer_id: UUID | None) -> History:
    """What a customer of the transaction's merchant has paid and redeemed; None: nobody yet.

    An invoice of nothing, such as a trial's, does not count as paid.
    """
    if customer_id is None:
        return History(None, has_paid=False, coupons={})
    paid = await source.fetch(
        """
        SELECT 1 FROM invoices
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND customer_id = $1
           AND status = 'paid' AND total > 0
         LIMIT 1
        """,
        customer_id,
    )
    rows = await source.fetch(
        """
        SELECT coupon_id, count(*) AS times FROM redemptions
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND customer_id = $1
           AND released_at IS NULL AND coupon_id IS NOT NULL
         GROUP BY coupon_id
        """,
        customer_id,
    )
    return History(customer_id, bool(paid), {row["coupon_id"]: row["times"] for row in rows})


async def resolve(  # noqa: PLR0913  what is asked for, by whom, for what
    tx: Tx,
    customer_id: UUID,
    coupon_ids: Sequence[UUID],
    codes: Sequence[str],
    now: datetime,
    *,
    currency: str | None = None,
    subtotal: int | None = None,
) -> list[Resolved]:
    """The coupons asked for by id and by code, in that order, each judged. Raises InvalidRequest.

    With `currency`, amounts must be known in it; with `subtotal` too, codes' minimums are judged.
    The minimum of a coupon is judged by each invoice, from its lines.
    """
    if not coupon_ids and not codes:
        return []
    by_code = await promotion_codes.load(tx, codes)
    wanted = [*coupon_ids, *(found.coupon_id for found in by_code.values())]
    offered = await coupons.load(tx, wanted)
    past = await history(tx, customer_id)
    asked: list[tuple[str, UUID, UUID | None]] = []
    for place, coupon_id in enumerate(coupon_ids):
        if coupon_id not in offered:
            raise _not_found("coupon", f"coupon_ids[{place}]")
        asked.append((f"coupon_ids[{place}]", coupon_id, None))
    for place, code in enumerate(codes):
        param = f"promotion_codes[{place}]"
        found = by_code.get(promotion_codes.normal(code))
        if found is None:
            raise _not_found("promotion_code", param)
        _check(redemption.refusal(found.terms, past.of(found.coupon_id), now), param)
        if currency is not None and subtotal is not None:
            _check(redemption.below_minimum(found.terms, currency, subtotal), param)
        asked.append((param, found.coupon_id, found.id))
    resolved: list[Resolved] = []
    for param, coupon_id, code_id in asked:
        coupon, terms = offered[coupon_id]
        _check(redemption.refusal(terms, past.of(coupon_id), now), param)
        if any(coupon_id == earlier.coupon.id for earlier in resolved):
            raise InvalidRequest("This coupon is given already.", code="coupon_twice", param=param)
        if currency is not None and lacks(coupon, currency):
            raise CurrencyMismatch(f"This coupon has no amount in {currency}.", param=param)
        resolved.append(Resolved(coupon, code_id))
    return resolved


def lacks(coupon: Coupon, currency: str) -> bool:
    """Whether the coupon is an amount, and not known in this currency."""
    return coupon.kind is not Kind.PERCENT and currency not in coupon.amounts


def _not_found(noun: str, param: str) -> InvalidRequest:
    words = noun.replace("_", " ")
    return InvalidRequest(f"There is no such {words}.", code=f"{noun}_not_found", param=param)


def _check(refused: Refusal | None, param: str) -> None:
    if refused is not None:
        raise InvalidRequest(refused.message, code=refused.code, param=param)


async def redeem_all(
    tx: Tx,
    resolved: Sequence[Resolved],
    customer_id: UUID,
    now: datetime,
    *,
    subscription_id: UUID | None = None,
) -> None:
    """Redeem what `resolve` found, in an order that two at once cannot lock each other out by."""
    for coupon, code_id in sorted(resolved, key=lambda given: given.coupon.id):
        await redeem(tx, coupon.id, code_id, customer_id, now, subscription_id=subscription_id)


async def redeem(
    tx: Tx,
    coupon_id: UUID,
    promotion_code_id: UUID | None,
    customer_id: UUID,
    now: datetime,
    *,
    subscription_id: UUID | None = None,
) -> UUID:
    """Count a redemption and write it down; returns its id. Raises Conflict where none is left."""
    if promotion_code_id is not None:
        await count(tx, "promotion_codes", promotion_code_id)
    await count_coupon(tx, coupon_id, customer_id)
    redemption_id = await insert(
        tx,
        {
            "coupon_id": coupon_id,
            "promotion_code_id": promotion_code_id,
            "customer_id": customer_id,
            "subscription_id": subscription_id,
        },
        now,
    )
    await tell(tx, Type.COUPON_REDEEMED, redemption_id, now)
    return redemption_id


async def count_coupon(tx: Tx, coupon_id: UUID, customer_id: UUID) -> None:
    """Count a coupon's redemption by a customer. Raises Conflict where none is left."""
    most = await count(tx, "coupons", coupon_id, "max_redemptions_per_customer")
    if most is not None and await times(tx, "coupon_id", coupon_id, customer_id) >= most:
        raise conflict(redemption.already_redeemed("coupon"))


async def count(tx: Tx, table: str, id: UUID, returning: str = "NULL::bigint") -> int | None:
    """Count one more redemption, where one is left. Raises Conflict, `coupon_exhausted`."""
    row = await tx.fetchrow(
        f"""
        UPDATE {table} SET times_redeemed = times_redeemed + 1, version = version + 1
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
           AND (max_redemptions IS NULL OR times_redeemed < max_redemptions)
        RETURNING {returning} AS most
        """,
        id,
    )
    if row is None:
        raise conflict(redemption.exhausted(table.removesuffix("s")))
    most: int | None = row["most"]
    return most


async def times(tx: Tx, column: str, id: UUID, customer_id: UUID) -> int:
    """How often a customer has redeemed it; the row counted last keeps others waiting."""
    found: int = await tx.fetchval(
        f"""
        SELECT count(*) FROM redemptions
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND customer_id = $1
           AND {column} = $2 AND released_at IS NULL
        """,
        customer_id,
        id,
    )
    return found


def conflict(refused: Refusal) -> Conflict:
    """The refusal as an error: it would have gone a moment ago."""
    return Conflict(refused.message, code=refused.code)


async def insert(tx: Tx, fields: Mapping[str, UUID | None], now: datetime) -> UUID:
    """Write a redemption down; returns its id."""
    redemption_id = new_id()
    await tx.run(
        """
        INSERT INTO redemptions
            (merchant_id, id, coupon_id, promotion_code_id, offer_id, offer_link_id, customer_id,
             subscription_id, created_at)
        VALUES (current_setting('app.merchant_id')::uuid, $1, $2, $3, $4, $5, $6, $7, $8)
        """,
        redemption_id,
        fields.get("coupon_id"),
        fields.get("promotion_code_id"),
        fields.get("offer_id"),
        fields.get("offer_link_id"),
        fields["customer_id"],
        fields.get("subscription_id"),
        now,
    )
    return redemption_id


async def tell(tx: Tx, type: Type, id: UUID, now: datetime) -> None:
    """Tell of a redemption."""
    merchant_id: UUID = await tx.fetchval("SELECT current_setting('app.merchant_id')::uuid")
    row = await one(tx, REDEMPTION, merchant_id, id)
    assert row is not None
    await events.append(tx, merchant_id, type, REDEMPTION, row, now)


async def belong_to(tx: Tx, id: UUID, subscription_id: UUID) -> None:
    """Say which subscription came of a redemption that was made before it."""
    await tx.run(
        """
        UPDATE redemptions SET subscription_id = $2, version = version + 1
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        id,
        subscription_id,
    )


async def release(tx: Tx, keys: Sequence[tuple[UUID, UUID]], now: datetime) -> int:
    """Give back what (merchant, subscription) had redeemed: it never came to be. Returns how much.

    For first payments that did not come in time; may cross merchants.
    """
    released: int = await tx.fetchval(
        """
        WITH freed AS (
            UPDATE redemptions r SET released_at = $3, version = r.version + 1
              FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, subscription_id)
             WHERE r.merchant_id = k.merchant_id AND r.subscription_id = k.subscription_id
               AND r.released_at IS NULL
            RETURNING r.merchant_id, r.coupon_id, r.promotion_code_id, r.offer_id, r.offer_link_id),
        of_coupons AS (
            UPDATE coupons t SET times_redeemed = times_redeemed - f.times, version = version + 1
              FROM (SELECT merchant_id, coupon_id AS id, count(*) AS times FROM freed
                     GROUP BY 1, 2) f
             WHERE t.merchant_id = f.merchant_id AND t.id = f.id),
        of_codes AS (
            UPDATE promotion_codes t
               SET times_redeemed = times_redeemed - f.times, version = version + 1
              FROM (SELECT merchant_id, promotion_code_id AS id, count(*) AS times FROM freed
                     GROUP BY 1, 2) f
             WHERE t.merchant_id = f.merchant_id AND t.id = f.id),
        of_offers AS (
            UPDATE offers t SET times_redeemed = times_redeemed - f.times, version = version + 1
              FROM (SELECT merchant_id, offer_id AS id, count(*) AS times FROM freed
                     GROUP BY 1, 2) f
             WHERE t.merchant_id = f.merchant_id AND t.id = f.id),
        of_links AS (
            UPDATE offer_links t
               SET times_redeemed = times_redeemed - f.times, version = version + 1
              FROM (SELECT merchant_id, offer_link_id AS id, count(*) AS times FROM freed
                     GROUP BY 1, 2) f
             WHERE t.merchant_id = f.merchant_id AND t.id = f.id)
        SELECT count(*) FROM freed
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
        now,
    )
    return released
