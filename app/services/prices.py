"""Prices: what a plan costs. What is charged never changes; a new price is a new version."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import events, plans, views
from app.db import prices as rows
from app.db.base import Row, Tx
from app.domain import decimals, pricing
from app.domain.calendar import Interval, Unit
from app.domain.errors import Conflict, InvalidRequest, Problem
from app.domain.event import Type
from app.domain.pricing import (
    TIERED,
    Price,
    PriceModel,
    PriceType,
    TaxBehaviour,
    Tier,
    Timing,
    TrialEnd,
    Usage,
)
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import idempotency, lookup
from app.services.caller import Caller
from app.services.customers import check_version
from app.services.metadata import merged

PERCENT_PLACES: Final = 4
"""A percentage with four decimals counts millionths: 12.5 % is 125,000."""
AMOUNTS: Final = frozenset(
    {
        "unit_amount_decimal",
        "tiers",
        "package_size",
        "percentage",
        "event_amount",
        "free_events",
        "free_amount",
    }
)
"""What a price charges: another model brings its own, and keeps none of these."""


@dataclass(frozen=True, slots=True)
class TierAsked:
    """One tier; the unit amount is decimal text in minor units."""

    up_to: int | None
    unit_amount_decimal: str
    flat_amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePrice:
    """What a plan costs; amounts in minor units, unit amount and percentage as decimal text."""

    plan_id: UUID
    currency: str
    interval_unit: Unit | None
    model: PriceModel
    interval_count: int = 1
    type: PriceType = PriceType.RECURRING
    unit_amount_decimal: str | None = None
    tiers: tuple[TierAsked, ...] = ()
    package_size: int | None = None
    percentage: str | None = None
    event_amount: int = 0
    free_events: int = 0
    free_amount: int = 0
    timing: Timing = Timing.ADVANCE
    usage_type: Usage = Usage.LICENSED
    meter_id: UUID | None = None
    min_quantity: int = 0
    max_quantity: int | None = None
    countries: frozenset[str] = frozenset()
    tax_behaviour: TaxBehaviour = TaxBehaviour.EXCLUSIVE
    setup_fee: int = 0
    trial_days: int = 0
    trial_amount: int = 0
    trial_requires_payment_method: bool = False
    trial_end_without_payment_method: TrialEnd | None = None
    lookup_key: str | None = None
    transfer_lookup_key: bool = False
    nickname: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdatePrice:
    """Fields to change, none that says what it costs; `metadata` is merged."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What the next version of a price says otherwise than the present one."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreatePrice) -> Row:
    """Create a price. Raises InvalidRequest with every fault of it, Conflict for a taken key."""
    price = _sound(cmd, new_id())
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        if await plans.lock(tx, caller.merchant_id, cmd.plan_id) is None:
            raise InvalidRequest(
                "There is no such plan.", code="reference_not_found", param="plan_id"
            )
        if cmd.transfer_lookup_key and cmd.lookup_key is not None:
            holder = await rows.with_lookup_key(tx, caller.merchant_id, cmd.lookup_key)
            if holder is not None:
                await _change(tx, caller, holder, {"lookup_key": None}, now)
        return await _store(tx, caller, price, cmd.metadata, now)


async def create_version(rt: Runtime, caller: Caller, cmd: NewVersion) -> Row:
    """Put a new version in a price's place: it takes over the lookup key, the old one is archived.

    Who has the old one keeps it. Raises NotFound, Stale, InvalidRequest, Conflict where a price
    has been archived already.
    """
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        plan_id = await rows.plan_of(tx, caller.merchant_id, cmd.id)
        if plan_id is None:
            raise lookup.missing(views.PRICE)
        await plans.lock(tx, caller.merchant_id, plan_id)
        before = await _lock(tx, caller, cmd.id)
        check_version(before, cmd.expected_version)
        if not before["active"]:
            raise Conflict(
                "This price is archived: make a version of the one in its place.",
                code="price_inactive",
            )
        metadata = merged(orjson.loads(before["metadata"]), cmd.changes.get("metadata") or {})
        price = _sound(_next(before, cmd.changes), new_id())
        await _change(tx, caller, cmd.id, {"lookup_key": None, "active": False}, now)
        return await _store(tx, caller, price, metadata, now)


async def update(rt: Runtime, caller: Caller, cmd: UpdatePrice) -> Row:
    """Rename a price, archive it or offer it again. Raises NotFound, Stale, Conflict."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await _lock(tx, caller, cmd.id)
        check_version(before, cmd.expected_version)
        after = await _change(tx, caller, cmd.id, cmd.changes, now)
        await idempotency.answered(tx, caller, show("price", cmd.id))
    return after


async def _lock(tx: Tx, caller: Caller, id: UUID) -> Row:
    if await rows.lock(tx, caller.merchant_id, id) is None:
        raise lookup.missing(views.PRICE)
    return await _load(tx, caller, id)


async def _load(tx: Tx, caller: Caller, id: UUID) -> Row:
    row = await views.one(tx, views.PRICE, caller.merchant_id, id)
    assert row is not None
    return row


async def _store(
    tx: Tx, caller: Caller, price: Price, metadata: Mapping[str, str], now: datetime
) -> Row:
    meter = price.meter_id
    if meter is not None and not await rows.has_meter(tx, caller.merchant_id, meter):
        raise InvalidRequest(
            "There is no such active meter.", code="reference_not_found", param="meter_id"
        )
    await rows.insert(tx, caller.merchant_id, price, metadata, now)
    row = await _load(tx, caller, price.id)
    await events.append(tx, caller.merchant_id, Type.PRICE_CREATED, views.PRICE, row, now)
    await idempotency.answered(tx, caller, show("price", price.id))
    return row


async def _change(
    tx: Tx, caller: Caller, id: UUID, changes: Mapping[str, Any], now: datetime
) -> Row:
    before = await _lock(tx, caller, id)
    fields: dict[str, Any] = dict(before) | dict(changes)
    fields["metadata"] = merged(orjson.loads(before["metadata"]), changes.get("metadata") or {})
    await rows.update(tx, caller.merchant_id, id, fields)
    after = await _load(tx, caller, id)
    previous = events.changed(before, after)
    await events.append(
        tx, caller.merchant_id, Type.PRICE_UPDATED, views.PRICE, after, now, previous
    )
    return after


def _next(before: Row, changes: Mapping[str, Any]) -> CreatePrice:
    """What the next version is asked to be: as before, but for what is said."""
    percentage, trial_end = before["percentage"], before["trial_end_without_payment_method"]
    same = CreatePrice(
        plan_id=before["plan_id"],
        currency=before["currency"],
        type=PriceType(before["type"]),
        interval_unit=None if before["interval"] is None else Unit(before["interval"]),
        interval_count=before["interval_count"] or 1,
        model=PriceModel(before["model"]),
        unit_amount_decimal=before["unit_amount_decimal"],
        tiers=tuple(TierAsked(**tier) for tier in orjson.loads(before["tiers"])),
        package_size=before["package_size"],
        percentage=None if percentage is None else decimals.show(percentage, PERCENT_PLACES),
        event_amount=before["event_amount"],
        free_events=before["free_events"],
        free_amount=before["free_amount"],
        timing=Timing(before["timing"]),
        usage_type=Usage(before["usage_type"]),
        meter_id=before["meter_id"],
        min_quantity=before["min_quantity"],
        max_quantity=before["max_quantity"],
        countries=frozenset(before["countries"]),
        tax_behaviour=TaxBehaviour(before["tax_behaviour"]),
        setup_fee=before["setup_fee"],
        trial_days=before["trial_days"],
        trial_amount=before["trial_amount"],
        trial_requires_payment_method=before["trial_requires_payment_method"],
        trial_end_without_payment_method=None if trial_end is None else TrialEnd(trial_end),
        lookup_key=before["lookup_key"],
        nickname=before["nickname"],
    )
    said = {name: value for name, value in changes.items() if name != "metadata"}
    if said.get("model", same.model) != same.model:
        blank = CreatePrice(
            plan_id=same.plan_id, currency=same.currency, interval_unit=None, model=same.model
        )
        said = {name: getattr(blank, name) for name in AMOUNTS} | said
    return replace(same, **said)


def _sound(cmd: CreatePrice, id: UUID) -> Price:
    """The price that is asked for. Raises InvalidRequest with every fault of it."""
    price = _price(id, cmd)
    if problems := [*_problems_of_amounts(cmd), *pricing.problems(price)]:
        raise InvalidRequest.of(dict.fromkeys(problems))
    return price


def _price(id: UUID, cmd: CreatePrice) -> Price:
    unit = cmd.interval_unit
    return Price(
        id=id,
        plan_id=cmd.plan_id,
        version=1,
        currency=cmd.currency,
        type=cmd.type,
        interval=None if unit is None else Interval(unit, cmd.interval_count),
        model=cmd.model,
        unit_amount_scaled=pricing.parse_unit_amount(
            cmd.unit_amount_decimal or "0", param="unit_amount_decimal"
        ),
        tiers=tuple(_tier(tier, place) for place, tier in enumerate(cmd.tiers)),
        package_size=1 if cmd.package_size is None else cmd.package_size,
        percentage_ppm=decimals.parse(cmd.percentage or "0", PERCENT_PLACES, param="percentage"),
        event_amount_minor=cmd.event_amount,
        free_events=cmd.free_events,
        free_amount_minor=cmd.free_amount,
        timing=cmd.timing,
        usage=cmd.usage_type,
        meter_id=cmd.meter_id,
        min_quantity=cmd.min_quantity,
        max_quantity=cmd.max_quantity,
        countries=cmd.countries,
        tax_behaviour=cmd.tax_behaviour,
        setup_fee_minor=cmd.setup_fee,
        trial_days=cmd.trial_days,
        trial_amount_minor=cmd.trial_amount,
        trial_requires_payment_method=cmd.trial_requires_payment_method,
        trial_end_without_payment_method=cmd.trial_end_without_payment_method,
        nickname=cmd.nickname,
        lookup_key=cmd.lookup_key,
    )


def _tier(asked: TierAsked, place: int) -> Tier:
    return Tier(
        asked.up_to,
        pricing.parse_unit_amount(
            asked.unit_amount_decimal, param=f"tiers[{place}].unit_amount_decimal"
        ),
        asked.flat_amount,
    )


def _problems_of_amounts(cmd: CreatePrice) -> list[Problem]:
    """What is wrong with which fields are there at all; the domain judges their values."""
    found = []
    by_unit = cmd.model not in TIERED and cmd.model is not PriceModel.PERCENTAGE
    if by_unit and cmd.unit_amount_decimal is None:
        found.append(Problem("Say what a unit costs.", "unit_amount"))
    if cmd.model is PriceModel.PERCENTAGE and cmd.percentage is None:
        found.append(Problem("Say which percentage is taken.", "percentage"))
    if cmd.model is PriceModel.PACKAGE and cmd.package_size is None:
        found.append(Problem("Say how many units a package holds.", "package_size"))
    if cmd.model is not PriceModel.PACKAGE and cmd.package_size is not None:
        found.append(Problem("Only a package price has a package_size.", "package_size"))
    return found
