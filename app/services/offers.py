"""Offers: made, linked to, looked at, and claimed on the way to a subscription."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from app.db import coupons, events, views
from app.db import offers as rows
from app.db.base import Row
from app.db.offers import Link, Offer, Way
from app.domain import offer, offer_token, redemption
from app.domain.errors import InvalidRequest
from app.domain.event import Type
from app.domain.offer import Gift, Segment, Target
from app.domain.redemption import Refusal, Terms
from app.ids import new_id, new_token, show
from app.runtime import Runtime
from app.services import answers, lookup
from app.services.caller import Caller
from app.services.coupons import changed, check_one, check_there, known_to_all
from app.services.customers import check_version

LINK_LIFE: Final = timedelta(days=30)
"""How long a link works when nobody said: longer than people keep a letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOffer:
    """What is given, to whom, from when until when."""

    name: str
    description: str | None = None
    coupon_id: UUID | None = None
    price_id: UUID | None = None
    trial_days: int | None = None
    customer_ids: Sequence[UUID] = ()
    segment: Segment | None = None
    segment_days: int | None = None
    segment_plan_id: UUID | None = None
    listed: bool = False
    countries: Sequence[str] = ()
    start_at: datetime | None = None
    end_at: datetime | None = None
    max_redemptions: int | None = None
    max_redemptions_per_customer: int | None = 1
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdateOffer:
    """Fields of an offer to change: name, description, listed, end_at, active, metadata."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class CreateLink:
    """A way to an offer: for one customer, or for whoever has it; once, or many times."""

    offer_id: UUID
    customer_id: UUID | None = None
    max_redemptions: int | None = None
    expires_at: datetime | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreateOffer) -> Row:
    """Create an offer. Raises InvalidRequest with every fault of it."""
    now = rt.clock.now()
    new = Offer(
        id=new_id(),
        name=cmd.name,
        description=cmd.description,
        gift=Gift(cmd.coupon_id, cmd.price_id, cmd.trial_days),
        target=Target(
            customer_ids=frozenset(cmd.customer_ids),
            segment=cmd.segment,
            segment_days=cmd.segment_days,
            segment_plan_id=cmd.segment_plan_id,
        ),
        terms=Terms(
            noun="offer",
            valid_from=cmd.start_at,
            redeem_by=cmd.end_at,
            max_redemptions=cmd.max_redemptions,
            max_redemptions_per_customer=cmd.max_redemptions_per_customer,
        ),
        listed=cmd.listed,
        countries=tuple(cmd.countries),
    )
    problems = [
        *offer.problems(new.target, new.gift),
        *redemption.problems(new.terms, now, ends="end_at"),
    ]
    if problems:
        raise InvalidRequest.of(problems)
    async with rt.db.begin(caller.merchant_id) as tx:
        await check_there(tx, "customers", cmd.customer_ids, "customer_ids")
        await check_one(tx, "coupons", cmd.coupon_id, "coupon_id")
        await check_one(tx, "prices", cmd.price_id, "price_id")
        await check_one(tx, "plans", cmd.segment_plan_id, "segment_plan_id")
        await rows.insert(tx, caller.merchant_id, new, cmd.metadata, now)
        row = await answers.present(tx, caller, views.OFFER, new.id)
        await events.append(tx, caller.merchant_id, Type.OFFER_CREATED, views.OFFER, row, now)
    return row


async def update(rt: Runtime, caller: Caller, cmd: UpdateOffer) -> Row:
    """Change what may change of an offer. Raises NotFound, Stale, InvalidRequest."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        if not await rows.lock(tx, caller.merchant_id, cmd.id):
            raise lookup.missing(views.OFFER)
        before = await views.one(tx, views.OFFER, caller.merchant_id, cmd.id)
        assert before is not None
        check_version(before, cmd.expected_version)
        fields = changed(before, cmd.changes)
        start, end = fields["start_at"], fields["end_at"]
        if start is not None and end is not None and end <= start:
            raise InvalidRequest("It must end after it begins.", param="end_at")
        await rows.update(tx, caller.merchant_id, cmd.id, fields)
        after = await answers.present(tx, caller, views.OFFER, cmd.id)
        previous = events.changed(before, after)
        await events.append(
            tx, caller.merchant_id, Type.OFFER_UPDATED, views.OFFER, after, now, previous
        )
    return after


async def create_link(rt: Runtime, caller: Caller, cmd: CreateLink) -> tuple[Row, str]:
    """Make a link to an offer; its token is given this once. Raises NotFound, InvalidRequest."""
    now = rt.clock.now()
    if cmd.expires_at is not None and cmd.expires_at <= now:
        raise InvalidRequest("A link must end in the future.", param="expires_at")
    token = offer_token.LINK_PREFIX + new_token()
    async with rt.db.begin(caller.merchant_id) as tx:
        found = await rows.load(tx, cmd.offer_id)
        if found is None:
            raise lookup.missing(views.OFFER)
        await check_one(tx, "customers", cmd.customer_id, "customer_id")
        until = cmd.expires_at or min(now + LINK_LIFE, found.terms.redeem_by or now + LINK_LIFE)
        terms = Terms(noun="offer_link", redeem_by=until, max_redemptions=cmd.max_redemptions)
        link = Link(new_id(), cmd.offer_id, offer_token.digest(token), terms)
        await rows.insert_link(tx, caller.merchant_id, link, cmd.customer_id, token[-4:], now)
        row = await answers.present(tx, caller, views.OFFER_LINK, link.id)
    return row, token


async def revoke_link(rt: Runtime, caller: Caller, offer_id: UUID, id: UUID) -> Row:
    """End a link, for good, and every claim that was made by it. Raises NotFound."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        if not await rows.revoke_link(tx, caller.merchant_id, offer_id, id, now):
            raise lookup.missing(views.OFFER_LINK)
        return await answers.present(tx, caller, views.OFFER_LINK, id)


async def look(rt: Runtime, caller: Caller, token: str) -> dict[str, Any]:
    """What the offer behind a token gives, and whether it can still be had. Raises NotFound."""
    async with rt.db.read(caller.merchant_id) as reader:
        way = await rows.find(reader, token, rt.clock.now())
        if way is None:
            raise lookup.missing(views.OFFER)
        refused = await rows.refusal(reader, way, None, rt.clock.now())
        coupon_id, coupon = way.offer.gift.coupon_id, None
        if coupon_id is not None:
            terms = (await coupons.load(reader, [coupon_id]))[coupon_id].terms
            redeemer = redemption.Redeemer()
            refused = refused or redemption.refusal(terms, redeemer, rt.clock.now())
            coupon = await views.one(reader, views.COUPON, caller.merchant_id, coupon_id)
    return _looked(way, refused, coupon)


async def claim(rt: Runtime, caller: Caller, token: str) -> dict[str, Any]:
    """A short-lived token for the shop's backend to redeem the offer with, as `offer_token`.

    Nothing is counted or reserved by it. Raises NotFound, and InvalidRequest where the offer
    cannot be had any more.
    """
    now = rt.clock.now()
    async with rt.db.read(caller.merchant_id) as reader:
        way = await rows.find(reader, token, now)
        if way is None:
            raise lookup.missing(views.OFFER)
        refused = await rows.refusal(reader, way, None, now)
    if refused is not None:
        raise InvalidRequest(refused.message, code=refused.code)
    link, until = way.link, now + offer_token.CLAIM_LIFE
    if link is not None and link.terms.redeem_by is not None:
        until = min(until, link.terms.redeem_by)
    offer_id = show(views.OFFER.prefix, way.offer.id)
    return {
        "object": "offer_claim",
        "offer_id": offer_id,
        "offer_token": offer_id
        if link is None
        else offer_token.claim_token(link.id, link.token_hash, until),
        "expires_at": until,
    }


def _looked(way: Way, refused: Refusal | None, coupon: Row | None) -> dict[str, Any]:
    found, link = way.offer, way.link
    own = None if link is None else link.terms.redeem_by
    ends = [at for at in (found.terms.redeem_by, own) if at is not None]
    price_id = found.gift.price_id
    return {
        "object": "offer_gift",
        "offer_id": show(views.OFFER.prefix, found.id),
        "name": found.name,
        "description": found.description,
        "available": refused is None,
        "reason": None if refused is None else refused.code,
        "coupon": None if coupon is None else known_to_all(coupon),
        "price_id": None if price_id is None else show(views.PRICE.prefix, price_id),
        "trial_days": found.gift.trial_days,
        "expires_at": min(ends) if ends else None,
    }
