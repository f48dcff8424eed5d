"""Promotion codes: words that customers type in to get a coupon, and what is said to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db import coupons, events, prices, redemptions, views
from app.db import promotion_codes as rows
from app.db.base import Row
from app.db.coupons import Offered
from app.db.promotion_codes import PromotionCode
from app.db.redemptions import History
from app.domain import discount, pricing, redemption
from app.domain.discount import Facts
from app.domain.errors import InvalidRequest
from app.domain.event import Type
from app.domain.pricing import PlanKind, Price
from app.domain.redemption import Refusal, Terms
from app.ids import new_code, new_id, show
from app.runtime import Runtime
from app.services import answers, lookup
from app.services.caller import Caller
from app.services.coupons import changed, check_one, known_to_all
from app.services.customers import check_version


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePromotionCode:
    """A code for a coupon; without a word of the merchant's one is made."""

    coupon_id: UUID
    code: str | None = None
    customer_id: UUID | None = None
    minimum_amounts: Mapping[str, int] = field(default_factory=dict)
    first_time_only: bool = False
    expires_at: datetime | None = None
    max_redemptions: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdatePromotionCode:
    """Fields of a promotion code to change: active, metadata (merged)."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A code as a customer typed it, and what it is to be used for, as far as that is known."""

    code: str
    customer_id: UUID | None = None
    price_ids: Sequence[UUID] = ()


async def create(rt: Runtime, caller: Caller, cmd: CreatePromotionCode) -> Row:
    """Create a promotion code. Raises InvalidRequest, and Conflict where the code is in use."""
    now = rt.clock.now()
    terms = Terms(
        noun="promotion_code",
        redeem_by=cmd.expires_at,
        max_redemptions=cmd.max_redemptions,
        first_time_only=cmd.first_time_only,
        customer_ids=None if cmd.customer_id is None else frozenset({cmd.customer_id}),
        minimum_amounts=cmd.minimum_amounts,
    )
    if problems := [*redemption.problems(terms, now, ends="expires_at")]:
        raise InvalidRequest.of(problems)
    new = PromotionCode(new_id(), cmd.code or new_code(), cmd.coupon_id, terms)
    async with rt.db.begin(caller.merchant_id) as tx:
        offered = (await coupons.load(tx, [cmd.coupon_id])).get(cmd.coupon_id)
        if offered is None or not offered.terms.active:
            raise InvalidRequest(
                "There is no such active coupon.", code="reference_not_found", param="coupon_id"
            )
        await check_one(tx, "customers", cmd.customer_id, "customer_id")
        await rows.insert(tx, caller.merchant_id, new, cmd.metadata, now)
        row = await answers.present(tx, caller, views.PROMOTION_CODE, new.id)
        await events.append(
            tx, caller.merchant_id, Type.PROMOTION_CODE_CREATED, views.PROMOTION_CODE, row, now
        )
    return row


async def update(rt: Runtime, caller: Caller, cmd: UpdatePromotionCode) -> Row:
    """Change what may change of a promotion code. Raises NotFound, Stale, Conflict."""
    now = rt.clock.now()
    view = views.PROMOTION_CODE
    async with rt.db.begin(caller.merchant_id) as tx:
        if not await rows.lock(tx, caller.merchant_id, cmd.id):
            raise lookup.missing(view)
        before = await views.one(tx, view, caller.merchant_id, cmd.id)
        assert before is not None
        check_version(before, cmd.expected_version)
        await rows.update(tx, caller.merchant_id, cmd.id, changed(before, cmd.changes))
        after = await answers.present(tx, caller, view, cmd.id)
        previous = events.changed(before, after)
        await events.append(
            tx, caller.merchant_id, Type.PROMOTION_CODE_UPDATED, view, after, now, previous
        )
    return after


async def check(rt: Runtime, caller: Caller, asked: Check) -> dict[str, Any]:
    """Whether a customer may use a code now, and why not: the answer always has one shape.

    Nothing is reserved: what counts is the redemption. Without a customer, what only concerns
    one is not judged; without prices, neither are minimums and plans.
    """
    now = rt.clock.now()
    async with rt.db.read(caller.merchant_id) as reader:
        found = (await rows.load(reader, [asked.code])).get(rows.normal(asked.code))
        if found is None:
            absent = Refusal("promotion_code_not_found", "There is no such promotion code.")
            return _answer(asked, absent, None, None)
        offered = (await coupons.load(reader, [found.coupon_id]))[found.coupon_id]
        past = await redemptions.history(reader, asked.customer_id)
        keys = [(caller.merchant_id, price) for price in asked.price_ids]
        priced = list((await prices.load(reader, keys)).values()) if keys else []
        row = await views.one(reader, views.COUPON, caller.merchant_id, found.coupon_id)
    refused = _refusal(found, offered, past, now)
    if refused is None and asked.price_ids:
        refused = _refusal_of(priced, found, offered)
    return _answer(asked, refused, found, row)


def _refusal(
    found: PromotionCode, offered: Offered, past: History, now: datetime
) -> Refusal | None:
    terms = found.terms
    if past.customer_id is None and terms.customer_ids is not None:
        return Refusal(
            "promotion_code_not_for_customer", "This promotion code is for other customers."
        )
    redeemer = past.of(found.coupon_id)
    refused = redemption.refusal(terms, redeemer, now)
    return refused or redemption.refusal(offered.terms, redeemer, now)


def _refusal_of(priced: Sequence[Price], found: PromotionCode, offered: Offered) -> Refusal | None:
    """Why a code is of no use for one each of these prices."""
    if not priced:
        return Refusal("price_not_found", "There are no such prices.")
    currency = priced[0].currency
    lines = [
        Facts(
            pricing.amount(price, 1).minor,
            1,
            price.plan_id,
            price.id,
            is_addon=price.plan_kind is PlanKind.ADDON,
        )
        for price in priced
    ]
    if redemptions.lacks(offered.coupon, currency):
        return Refusal("currency_mismatch", f"This promotion code has no amount in {currency}.")
    subtotal = sum(line.amount for line in lines)
    refused = redemption.below_minimum(found.terms, currency, subtotal)
    if refused is not None:
        return refused
    wanted = discount.redeem(offered.coupon, offered.coupon.id)
    rows = discount.applicable([wanted], lines, currency)
    if rows is not None and not any(rows[0]):
        return Refusal(
            "promotion_code_not_applicable", "This promotion code is not for these prices."
        )
    return None


def _answer(
    asked: Check, refused: Refusal | None, found: PromotionCode | None, coupon: Row | None
) -> dict[str, Any]:
    valid = refused is None and found is not None and coupon is not None
    return {
        "object": "promotion_code_check",
        "code": rows.normal(asked.code),
        "valid": valid,
        "reason": None if refused is None else refused.code,
        "message": None if refused is None else refused.message,
        "promotion_code_id": show(views.PROMOTION_CODE.prefix, found.id)
        if found and valid
        else None,
        "coupon": known_to_all(coupon) if coupon is not None and valid else None,
    }
