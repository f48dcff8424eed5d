"""What is sold: plans with their prices, and coupons."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import catalog as rows
from app.db import views
from app.db.base import Row, Tx
from app.db.catalog import NewCoupon, NewPlan, NewPrice, Table
from app.db.views import View
from app.domain import decimals, discount, pricing
from app.domain.calendar import Interval, Unit
from app.domain.discount import Coupon, Duration
from app.domain.errors import InvalidRequest, Problem
from app.domain.money import Money
from app.domain.pricing import Price, PriceModel, TaxBehaviour, Tier, Timing, Usage
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import idempotency, lookup
from app.services.caller import Caller
from app.services.customers import check_version
from app.services.metadata import merged

PERCENT_PLACES: Final = 4
"""A percentage with four decimals counts millionths: 12.5 % is 125,000."""

TABLES: Final[Mapping[str, Table]] = {
    "plan": "plans",
    "price": "prices",
    "coupon": "coupons",
}


@dataclass(frozen=True, slots=True)
class CreatePlan:
    """What is sold, without what it costs."""

    code: str
    name: str
    description: str | None = None
    rank: int = 0
    features: Mapping[str, object] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TierAsked:
    """One tier; the unit amount is decimal text in minor units."""

    up_to: int | None
    unit_amount_decimal: str
    flat_amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePrice:
    """What a plan costs; amounts in minor units, the unit amount as decimal text."""

    plan_id: UUID
    currency: str
    interval_unit: Unit
    model: PriceModel
    interval_count: int = 1
    unit_amount_decimal: str | None = None
    tiers: tuple[TierAsked, ...] = ()
    package_size: int | None = None
    timing: Timing = Timing.ADVANCE
    usage_type: Usage = Usage.LICENSED
    tax_behaviour: TaxBehaviour = TaxBehaviour.EXCLUSIVE
    setup_fee: int = 0
    trial_days: int = 0
    lookup_key: str | None = None
    transfer_lookup_key: bool = False
    nickname: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCoupon:
    """The promise of a discount: a percentage as decimal text, or a fixed amount."""

    code: str
    name: str
    percent_off: str | None = None
    amount_off: int | None = None
    currency: str | None = None
    duration: Duration = Duration.ONCE
    duration_in_periods: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Update:
    """Fields of a catalogue noun to change; `metadata` is merged."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


async def create_plan(rt: Runtime, caller: Caller, cmd: CreatePlan) -> Row:
    """Create a plan. Raises Conflict where the code is taken."""
    plan = NewPlan(
        new_id(), cmd.code, cmd.name, cmd.description, cmd.rank, cmd.features, cmd.metadata
    )
    async with rt.db.begin(caller.merchant_id) as tx:
        await rows.insert_plan(tx, caller.merchant_id, plan, rt.clock.now())
        return await _answer(tx, caller, views.PLAN, plan.id)


async def create_price(rt: Runtime, caller: Caller, cmd: CreatePrice) -> Row:
    """Create a price. Raises InvalidRequest with every fault of it, Conflict for a taken key."""
    price_id = new_id()
    price = _price(price_id, cmd)
    if problems := [*_problems_of_amounts(cmd), *pricing.problems(price)]:
        raise InvalidRequest.of(problems)
    unit = pricing.show_unit_amount(price.unit_amount_scaled)
    tiered = cmd.model in {PriceModel.GRADUATED, PriceModel.VOLUME}
    new = NewPrice(
        id=price_id,
        plan_id=cmd.plan_id,
        lookup_key=cmd.lookup_key,
        nickname=cmd.nickname,
        currency=cmd.currency,
        interval_unit=cmd.interval_unit,
        interval_count=cmd.interval_count,
        model=cmd.model,
        unit_amount_decimal=None if tiered else unit,
        tiers=[_tier_row(tier) for tier in price.tiers],
        package_size=cmd.package_size,
        timing=cmd.timing,
        usage_type=cmd.usage_type,
        tax_behaviour=cmd.tax_behaviour,
        setup_fee=cmd.setup_fee,
        trial_days=cmd.trial_days,
        metadata=cmd.metadata,
    )
    async with rt.db.begin(caller.merchant_id) as tx:
        plan = await rows.lock_plan(tx, caller.merchant_id, cmd.plan_id)
        if plan is None:
            raise InvalidRequest(
                "There is no such plan.", code="reference_not_found", param="plan_id"
            )
        if cmd.transfer_lookup_key and cmd.lookup_key is not None:
            await rows.release_lookup_key(tx, caller.merchant_id, cmd.lookup_key)
        await rows.insert_price(tx, caller.merchant_id, new, rt.clock.now())
        return await _answer(tx, caller, views.PRICE, price_id)


def _price(id: UUID, cmd: CreatePrice) -> Price:
    return Price(
        id=id,
        plan_id=cmd.plan_id,
        version=1,
        currency=cmd.currency,
        interval=Interval(cmd.interval_unit, cmd.interval_count),
        model=cmd.model,
        unit_amount_scaled=pricing.parse_unit_amount(
            cmd.unit_amount_decimal or "0", param="unit_amount_decimal"
        ),
        tiers=tuple(
            Tier(
                tier.up_to,
                pricing.parse_unit_amount(
                    tier.unit_amount_decimal, param=f"tiers[{place}].unit_amount_decimal"
                ),
                tier.flat_amount,
            )
            for place, tier in enumerate(cmd.tiers)
        ),
        package_size=1 if cmd.package_size is None else cmd.package_size,
        timing=cmd.timing,
        usage=cmd.usage_type,
        tax_behaviour=cmd.tax_behaviour,
        setup_fee_minor=cmd.setup_fee,
        trial_days=cmd.trial_days,
        nickname=cmd.nickname,
        lookup_key=cmd.lookup_key,
    )


def _problems_of_amounts(cmd: CreatePrice) -> list[Problem]:
    """What is wrong with which fields are there at all; the domain judges their values."""
    found = []
    tiered = cmd.model in {PriceModel.GRADUATED, PriceModel.VOLUME}
    if not tiered and cmd.unit_amount_decimal is None:
        found.append(Problem("Say what a unit costs.", "unit_amount"))
    if cmd.model is PriceModel.PACKAGE and cmd.package_size is None:
        found.append(Problem("Say how many units a package holds.", "package_size"))
    if cmd.model is not PriceModel.PACKAGE and cmd.package_size is not None:
        found.append(Problem("Only a package price has a package_size.", "package_size"))
    return found


def _tier_row(tier: Tier) -> dict[str, object]:
    return {
        "up_to": tier.up_to,
        "unit_amount_decimal": pricing.show_unit_amount(tier.unit_amount_scaled),
        "flat_amount": tier.flat_amount,
    }


async def create_coupon(rt: Runtime, caller: Caller, cmd: CreateCoupon) -> Row:
    """Create a coupon. Raises InvalidRequest with every fault of it, Conflict for a taken code."""
    coupon_id = new_id()
    if (cmd.amount_off is None) != (cmd.currency is None):
        raise InvalidRequest(
            "A fixed amount has a currency; a percentage has none.", param="currency"
        )
    coupon = Coupon(
        id=coupon_id,
        name=cmd.name,
        percent_off_ppm=None
        if cmd.percent_off is None
        else decimals.parse(cmd.percent_off, PERCENT_PLACES, param="percent_off"),
        amount_off=None
        if cmd.amount_off is None or cmd.currency is None
        else Money(cmd.amount_off, cmd.currency),
        duration=cmd.duration,
        duration_periods=cmd.duration_in_periods,
    )
    if problems := [*discount.problems(coupon)]:
        raise InvalidRequest.of(problems)
    new = NewCoupon(
        id=coupon_id,
        code=cmd.code,
        name=cmd.name,
        percent_off_ppm=coupon.percent_off_ppm,
        amount_off=cmd.amount_off,
        currency=cmd.currency,
        duration=cmd.duration,
        duration_in_periods=cmd.duration_in_periods,
        metadata=cmd.metadata,
    )
    async with rt.db.begin(caller.merchant_id) as tx:
        await rows.insert_coupon(tx, caller.merchant_id, new, rt.clock.now())
        return await _answer(tx, caller, views.COUPON, coupon_id)


async def update(rt: Runtime, caller: Caller, view: View, cmd: Update) -> Row:
    """Change what may change of a catalogue noun. Raises NotFound, Stale, Conflict."""
    table = TABLES[view.object]
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await rows.lock(tx, table, caller.merchant_id, cmd.id)
        if before is None:
            raise lookup.missing(view)
        check_version(before, cmd.expected_version)
        fields: dict[str, Any] = dict(before) | dict(cmd.changes)
        fields["metadata"] = merged(
            orjson.loads(before["metadata"]), cmd.changes.get("metadata") or {}
        )
        if isinstance(fields.get("features"), str):
            fields["features"] = orjson.loads(fields["features"])
        await rows.update(tx, table, caller.merchant_id, cmd.id, fields)
        return await _answer(tx, caller, view, cmd.id)


async def _answer(tx: Tx, caller: Caller, view: View, id: UUID) -> Row:
    await idempotency.answered(tx, caller, show(view.prefix, id))
    row = await views.one(tx, view, caller.merchant_id, id)
    assert row is not None
    return row
