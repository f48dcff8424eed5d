"""Coupons: made once, then only renamed or ended; discounts that run keep what they promised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import coupons as rows
from app.db import events, views
from app.db.base import Row, Tx
from app.db.coupons import Offered
from app.domain import decimals, discount, redemption
from app.domain.discount import AppliesTo, Coupon, Duration
from app.domain.errors import InvalidRequest
from app.domain.event import Type
from app.domain.money import Money
from app.domain.redemption import Terms
from app.ids import new_id
from app.runtime import Runtime
from app.services import answers, lookup
from app.services.caller import Caller
from app.services.customers import check_version
from app.services.metadata import merged
from app.services.public import shown

PERCENT_PLACES: Final = 4
"""A percentage with four decimals counts millionths: 12.5 % is 125,000."""

PUBLIC: Final = (
    "name",
    "percent_off",
    "amount_off",
    "fixed_price",
    "currency",
    "currency_options",
    "duration",
    "duration_in_periods",
)
"""What all the world may know of a coupon: what it gives, not how often it was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCoupon:
    """The promise of a discount: a percentage as decimal text, an amount, or a fixed price."""

    code: str
    name: str
    percent_off: str | None = None
    amount_off: int | None = None
    fixed_price: int | None = None
    currency: str | None = None
    currency_options: Mapping[str, int] = field(default_factory=dict)
    duration: Duration = Duration.ONCE
    duration_in_periods: int | None = None
    applies_to: AppliesTo = AppliesTo.EVERYTHING
    plan_ids: Sequence[UUID] = ()
    price_ids: Sequence[UUID] = ()
    minimum_amounts: Mapping[str, int] = field(default_factory=dict)
    first_time_only: bool = False
    valid_from: datetime | None = None
    redeem_by: datetime | None = None
    max_redemptions: int | None = None
    max_redemptions_per_customer: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdateCoupon:
    """Fields of a coupon to change: name, active, metadata (merged)."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreateCoupon) -> Row:
    """Create a coupon. Raises InvalidRequest with every fault of it, Conflict for a taken code."""
    now = rt.clock.now()
    coupon = _coupon(cmd)
    terms = Terms(
        noun="coupon",
        valid_from=cmd.valid_from,
        redeem_by=cmd.redeem_by,
        max_redemptions=cmd.max_redemptions,
        max_redemptions_per_customer=cmd.max_redemptions_per_customer,
        first_time_only=cmd.first_time_only,
    )
    if problems := [*discount.problems(coupon), *redemption.problems(terms, now)]:
        raise InvalidRequest.of(problems)
    async with rt.db.begin(caller.merchant_id) as tx:
        await check_there(tx, "plans", cmd.plan_ids, "plan_ids")
        await check_there(tx, "prices", cmd.price_ids, "price_ids")
        offered = Offered(coupon, terms)
        await rows.insert(tx, caller.merchant_id, cmd.code, offered, cmd.metadata, now)
        row = await answers.present(tx, caller, views.COUPON, coupon.id)
        await events.append(tx, caller.merchant_id, Type.COUPON_CREATED, views.COUPON, row, now)
    return row


def _coupon(cmd: CreateCoupon) -> Coupon:
    if (cmd.amount_off is None and cmd.fixed_price is None) != (cmd.currency is None):
        raise InvalidRequest("An amount has a currency; a percentage has none.", param="currency")
    currency = cmd.currency or ""
    return Coupon(
        id=new_id(),
        name=cmd.name,
        percent_off_ppm=None
        if cmd.percent_off is None
        else decimals.parse(cmd.percent_off, PERCENT_PLACES, param="percent_off"),
        amount_off=None if cmd.amount_off is None else Money(cmd.amount_off, currency),
        fixed_price=None if cmd.fixed_price is None else Money(cmd.fixed_price, currency),
        currency_options=cmd.currency_options,
        duration=cmd.duration,
        duration_periods=cmd.duration_in_periods,
        applies_to=cmd.applies_to,
        plan_ids=frozenset(cmd.plan_ids),
        price_ids=frozenset(cmd.price_ids),
        minimum_amounts=cmd.minimum_amounts,
    )


async def check_there(tx: Tx, table: str, ids: Sequence[UUID], param: str) -> None:
    """Check that the merchant has what a rule names. Raises InvalidRequest."""
    absent = await rows.missing(tx, table, ids)
    if absent is not None:
        raise _absent(table, f"{param}[{list(ids).index(absent)}]")


async def check_one(tx: Tx, table: str, id: UUID | None, param: str) -> None:
    """Check that the merchant has what is named, if anything is. Raises InvalidRequest."""
    if id is not None and await rows.missing(tx, table, [id]) is not None:
        raise _absent(table, param)


def _absent(table: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"There is no such {table.removesuffix('s')}.", code="reference_not_found", param=param
    )


async def update(rt: Runtime, caller: Caller, cmd: UpdateCoupon) -> Row:
    """Change what may change of a coupon. Raises NotFound, Stale."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        if not await rows.lock(tx, caller.merchant_id, cmd.id):
            raise lookup.missing(views.COUPON)
        before = await views.one(tx, views.COUPON, caller.merchant_id, cmd.id)
        assert before is not None
        check_version(before, cmd.expected_version)
        fields = changed(before, cmd.changes)
        await rows.update(tx, caller.merchant_id, cmd.id, fields)
        after = await answers.present(tx, caller, views.COUPON, cmd.id)
        previous = events.changed(before, after)
        await events.append(
            tx, caller.merchant_id, Type.COUPON_UPDATED, views.COUPON, after, now, previous
        )
    return after


def changed(before: Row, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A row's fields after `changes`; `metadata` is merged."""
    kept = orjson.loads(before["metadata"])
    return {
        **before,
        **changes,
        "metadata": merged(kept, changes.get("metadata") or {}),
    }


def known_to_all(row: Row) -> dict[str, Any]:
    """What a coupon gives, for whoever has not got it yet."""
    whole = shown(views.COUPON, row)
    return {field: whole[field] for field in PUBLIC}
