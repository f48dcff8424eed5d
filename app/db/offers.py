"""Rows of `offers` and `offer_links`, and the claim that a subscription makes on one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.db import coupons, redemptions
from app.db.base import Row, Tx, dumps
from app.db.views.base import Source
from app.domain import offer, offer_token, redemption
from app.domain.discount import Coupon
from app.domain.errors import InvalidRequest
from app.domain.event import Type
from app.domain.offer import Gift, Segment, Standing, Target
from app.domain.redemption import Redeemer, Refusal, Terms

LISTED_MAX: Final = 50
"""Offers on one price page: more is not a page any more."""
PREFIX: Final = "offer"

COLUMNS: Final = """
    o.id, o.name, o.description, o.coupon_id, o.price_id, o.trial_days, o.customer_ids, o.segment,
    o.segment_days, o.segment_plan_id, o.listed, o.countries, o.start_at, o.end_at,
    o.max_redemptions, o.max_redemptions_per_customer, o.times_redeemed, o.active
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What is given, to whom, and under which terms."""

    id: UUID
    name: str
    description: str | None
    gift: Gift
    target: Target
    terms: Terms
    listed: bool
    """Whether price pages show it, and whoever it is for may take it without a link."""
    countries: tuple[str, ...]
    """Where price pages show it; none: everywhere."""


@dataclass(frozen=True, slots=True)
class Link:
    """A way to an offer: for one customer or for whoever has it, once or many times."""

    id: UUID
    offer_id: UUID
    token_hash: bytes
    terms: Terms


@dataclass(frozen=True, slots=True)
class Claim:
    """What a redeemed offer gives to a subscription."""

    offer_id: UUID
    coupon: Coupon | None
    price_id: UUID | None
    trial_days: int | None
    redemption_id: UUID


@dataclass(frozen=True, slots=True)
class Way:
    """An offer, and the link it was reached by; None: it is listed."""

    offer: Offer
    link: Link | None


async def load(source: Source, id: UUID) -> Offer | None:
    """An offer of the transaction's merchant."""
    row = await source.fetchrow(
        f"""
        SELECT {COLUMNS} FROM offers o
         WHERE o.merchant_id = current_setting('app.merchant_id')::uuid AND o.id = $1
        """,
        id,
    )
    return None if row is None else _offer(row)


def _offer(row: Row) -> Offer:
    return Offer(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        gift=Gift(row["coupon_id"], row["price_id"], row["trial_days"]),
        target=Target(
            customer_ids=frozenset(row["customer_ids"]),
            segment=None if row["segment"] is None else Segment(row["segment"]),
            segment_days=row["segment_days"],
            segment_plan_id=row["segment_plan_id"],
        ),
        terms=Terms(
            noun="offer",
            active=row["active"],
            valid_from=row["start_at"],
            redeem_by=row["end_at"],
            max_redemptions=row["max_redemptions"],
            max_redemptions_per_customer=row["max_redemptions_per_customer"],
            times_redeemed=row["times_redeemed"],
        ),
        listed=row["listed"],
        countries=tuple(row["countries"]),
    )


async def insert(
    tx: Tx, merchant_id: UUID, new: Offer, metadata: Mapping[str, str], now: datetime
) -> None:
    """Store an offer."""
    await tx.run(
        """
        INSERT INTO offers
            (merchant_id, id, name, description, coupon_id, price_id, trial_days, customer_ids,
             segment, segment_days, segment_plan_id, listed, countries, start_at, end_at,
             max_redemptions, max_redemptions_per_customer, metadata, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19)
        """,
        merchant_id,
        new.id,
        new.name,
        new.description,
        new.gift.coupon_id,
        new.gift.price_id,
        new.gift.trial_days,
        sorted(new.target.customer_ids),
        new.target.segment,
        new.target.segment_days,
        new.target.segment_plan_id,
        new.listed,
        list(new.countries),
        new.terms.valid_from,
        new.terms.redeem_by,
        new.terms.max_redemptions,
        new.terms.max_redemptions_per_customer,
        dumps(metadata),
        now,
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> bool:
    """Keep an offer from changing until the end; False when there is none."""
    found = await tx.fetchval(
        "SELECT true FROM offers WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        merchant_id,
        id,
    )
    return found is not None


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]) -> None:
    """Write what may change of a locked offer, and count its version on."""
    await tx.run(
        """
        UPDATE offers SET name = $3, description = $4, listed = $5, end_at = $6, metadata = $7,
               active = $8, version = version + 1
        WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        fields["name"],
        fields["description"],
        fields["listed"],
        fields["end_at"],
        dumps(fields["metadata"]),
        fields["active"],
    )


async def insert_link(
    tx: Tx,
    merchant_id: UUID,
    link: Link,
    customer_id: UUID | None,
    last_four: str,
    now: datetime,
) -> None:
    """Store a link, by the hash of its token."""
    await tx.run(
        """
        INSERT INTO offer_links
            (merchant_id, id, offer_id, customer_id, token_hash, last_four, max_redemptions,
             expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        merchant_id,
        link.id,
        link.offer_id,
        customer_id,
        link.token_hash,
        last_four,
        link.terms.max_redemptions,
        link.terms.redeem_by,
        now,
    )


async def revoke_link(tx: Tx, merchant_id: UUID, offer_id: UUID, id: UUID, now: datetime) -> bool:
    """End a link, for good; False when there is none. A revoked one stays as it is."""
    touched = await tx.run(
        """
        UPDATE offer_links SET revoked_at = coalesce(revoked_at, $4), version = version + 1
        WHERE merchant_id = $1 AND offer_id = $2 AND id = $3
        """,
        merchant_id,
        offer_id,
        id,
        now,
    )
    return touched > 0


async def find(source: Source, token: str, now: datetime) -> Way | None:
    """The offer that a link's token, a claim's, or a listed offer's identifier leads to."""
    if token.startswith(f"{PREFIX}_"):
        listed = await load(source, _id(token))
        return Way(listed, None) if listed is not None and listed.listed else None
    link = await _link(source, token, now)
    if link is None:
        return None
    found = await load(source, link.offer_id)
    return None if found is None else Way(found, link)


def _id(token: str) -> UUID:
    try:
        return ids.parse(PREFIX, token)
    except ids.InvalidId:
        return UUID(int=0)


async def _link(source: Source, token: str, now: datetime) -> Link | None:
    if not token.isascii() or len(token) > offer_token.TOKEN_CHARS_MAX:
        return None
    said = offer_token.read_claim(token)
    column, value = (
        ("token_hash", offer_token.digest(token)) if said is None else ("id", said.link_id)
    )
    row = await source.fetchrow(
        f"""
        SELECT id, offer_id, customer_id, token_hash, max_redemptions, times_redeemed, expires_at,
               revoked_at
          FROM offer_links
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND {column} = $1
        """,
        value,
    )
    if row is None:
        return None
    if said is not None and not (
        now < said.expires_at and offer_token.is_signed(said, row["token_hash"])
    ):
        return None
    customer_id = row["customer_id"]
    terms = Terms(
        noun="offer_link",
        active=row["revoked_at"] is None,
        redeem_by=row["expires_at"],
        max_redemptions=row["max_redemptions"],
        times_redeemed=row["times_redeemed"],
        customer_ids=None if customer_id is None else frozenset({customer_id}),
    )
    return Link(row["id"], row["offer_id"], row["token_hash"], terms)


async def refusal(
    source: Source, way: Way, customer_id: UUID | None, now: datetime
) -> Refusal | None:
    """Why a customer cannot have the offer; None: it is theirs. Of nobody yet, no one is asked."""
    link, found = way.link, way.offer
    if link is not None:
        terms = link.terms
        holder = customer_id or next(iter(terms.customer_ids or ()), None)
        refused = redemption.refusal(terms, Redeemer(holder), now)
        if refused is not None:
            return refused
    refused = redemption.refusal(found.terms, Redeemer(customer_id), now)
    if refused is not None or customer_id is None:
        return refused
    standing = await _standing(source, customer_id)
    return offer.refusal(found.target, customer_id, standing, now)


async def judged(tx: Tx, token: str, customer_id: UUID, now: datetime) -> tuple[Way, Coupon | None]:
    """The offer of a token, and its coupon, if the customer can have it. Raises InvalidRequest."""
    way = await find(tx, token, now)
    if way is None:
        raise InvalidRequest(
            "There is no such offer.", code="offer_token_invalid", param="offer_token"
        )
    refused = await refusal(tx, way, customer_id, now)
    if refused is not None:
        raise InvalidRequest(refused.message, code=refused.code, param="offer_token")
    return way, await _coupon(tx, way.offer.gift.coupon_id, customer_id, now)


async def claim(tx: Tx, token: str, customer_id: UUID, now: datetime) -> Claim:
    """Redeem an offer for a customer, inside the transaction that makes the subscription.

    Raises InvalidRequest where the customer cannot have it, and Conflict where another one was
    quicker. `redemptions.belong_to` then says which subscription came of it.
    """
    way, coupon = await judged(tx, token, customer_id, now)
    found, link = way.offer, way.link
    if link is not None:
        await redemptions.count(tx, "offer_links", link.id)
    most = await redemptions.count(tx, "offers", found.id, "max_redemptions_per_customer")
    if most is not None and await redemptions.times(tx, "offer_id", found.id, customer_id) >= most:
        raise redemptions.conflict(redemption.already_redeemed("offer"))
    if coupon is not None:
        await redemptions.count_coupon(tx, coupon.id, customer_id)
    redemption_id = await redemptions.insert(
        tx,
        {
            "coupon_id": found.gift.coupon_id,
            "offer_id": found.id,
            "offer_link_id": None if link is None else link.id,
            "customer_id": customer_id,
        },
        now,
    )
    await redemptions.tell(tx, Type.OFFER_REDEEMED, redemption_id, now)
    if coupon is not None:
        await redemptions.tell(tx, Type.COUPON_REDEEMED, redemption_id, now)
    return Claim(found.id, coupon, found.gift.price_id, found.gift.trial_days, redemption_id)


async def _coupon(
    tx: Tx, coupon_id: UUID | None, customer_id: UUID, now: datetime
) -> Coupon | None:
    """The coupon of an offer, under its own terms as well. Raises InvalidRequest."""
    if coupon_id is None:
        return None
    coupon, terms = (await coupons.load(tx, [coupon_id]))[coupon_id]
    past = await redemptions.history(tx, customer_id)
    refused = redemption.refusal(terms, past.of(coupon_id), now)
    if refused is not None:
        raise InvalidRequest(refused.message, code=refused.code, param="offer_token")
    return coupon


async def _standing(source: Source, customer_id: UUID) -> Standing:
    """What a customer's subscriptions have been doing; a first payment that never came is none."""
    row = await source.fetchrow(
        """
        SELECT count(*) > 0 AS has_subscribed,
               count(*) FILTER (WHERE s.ended_at IS NULL) > 0 AS has_running,
               max(s.ended_at) AS last_ended_at
          FROM subscriptions s
         WHERE s.merchant_id = current_setting('app.merchant_id')::uuid AND s.customer_id = $1
           AND s.status NOT IN ('incomplete', 'incomplete_expired')
        """,
        customer_id,
    )
    assert row is not None
    plans = await source.fetch(
        """
        SELECT DISTINCT p.plan_id
          FROM subscriptions s
          JOIN subscription_items i
            ON i.merchant_id = s.merchant_id AND i.subscription_id = s.id
          JOIN prices p ON p.merchant_id = i.merchant_id AND p.id = i.price_id
         WHERE s.merchant_id = current_setting('app.merchant_id')::uuid AND s.customer_id = $1
           AND s.ended_at IS NULL AND s.status <> 'incomplete'
        """,
        customer_id,
    )
    return Standing(
        row["has_subscribed"],
        row["has_running"],
        row["last_ended_at"],
        frozenset(plan["plan_id"] for plan in plans),
    )


async def public(
    source: Source, now: datetime, country: str | None = None, currency: str | None = None
) -> Sequence[Row]:
    """The offers that a price page shows in that country and currency, the newest first."""
    return await source.fetch(
        """
        SELECT o.id, o.name, o.description, o.price_id, o.trial_days, o.end_at, o.coupon_id,
               c.name AS coupon_name, c.percent_off_ppm AS percent_off, c.amount_off,
               c.fixed_price, c.currency, c.currency_options, c.duration, c.duration_in_periods
          FROM offers o
          LEFT JOIN coupons c ON c.merchant_id = o.merchant_id AND c.id = o.coupon_id
          LEFT JOIN prices p ON p.merchant_id = o.merchant_id AND p.id = o.price_id
         WHERE o.merchant_id = current_setting('app.merchant_id')::uuid AND o.listed AND o.active
           AND o.customer_ids = '{}'
           AND (o.start_at IS NULL OR o.start_at <= $1) AND (o.end_at IS NULL OR $1 < o.end_at)
           AND (o.max_redemptions IS NULL OR o.times_redeemed < o.max_redemptions)
           AND ($2::text IS NULL OR o.countries = '{}' OR $2 = ANY (o.countries))
           AND ($3::text IS NULL OR p.id IS NULL OR p.currency = $3)
           AND ($3::text IS NULL OR c.id IS NULL OR c.percent_off_ppm IS NOT NULL
                OR c.currency = $3 OR c.currency_options::jsonb ? $3)
         ORDER BY o.id DESC LIMIT $4
        """,
        now,
        country,
        currency,
        LISTED_MAX,
    )
