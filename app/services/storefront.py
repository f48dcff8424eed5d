"""The public catalogue: what a shop's own page may show to anyone, and nothing more.

Every field is named here, one by one: what is added to a plan or a price stays inside until it is
added here too.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from app.db import features, offers
from app.db import storefront as rows
from app.db.base import Row
from app.domain import decimals, storefront
from app.domain.entitlement import Grant
from app.domain.pricing import (
    TIERED,
    PlanKind,
    Price,
    PriceModel,
    show_unit_amount,
)
from app.ids import show
from app.runtime import Runtime
from app.services.caller import Caller
from app.services.prices import PERCENT_PLACES


async def catalogue(
    rt: Runtime, caller: Caller, country: str | None, currency: str | None
) -> dict[str, Any]:
    """Plans, add-ons, offers and ways to pay, for a country and in a currency."""
    now = rt.clock.now()
    async with rt.db.read(caller.merchant_id) as reader:
        plans = await rows.plans(reader, caller.merchant_id)
        ids = [plan["id"] for plan in plans]
        sold = await rows.prices_of(reader, caller.merchant_id, ids, currency)
        grants = await features.grants_of(reader, caller.merchant_id, ids)
        listed = await offers.public(reader, now, country, currency)
        gateways = await rows.gateways(reader, caller.merchant_id)
    by_plan: dict[UUID, list[Price]] = defaultdict(list)
    for price in storefront.in_effect(sold, country, currency):
        by_plan[price.plan_id].append(price)
    shown: dict[PlanKind, list[dict[str, Any]]] = {kind: [] for kind in PlanKind}
    for plan in plans:
        if prices := by_plan.get(plan["id"]):
            public = _plan(plan, prices, grants.get(plan["id"], ()))
            shown[PlanKind(plan["kind"])].append(public)
    return {
        "object": "catalog",
        "country": country,
        "currency": currency,
        "plans": shown[PlanKind.PLAN],
        "addons": _sold_with(shown[PlanKind.ADDON], plans),
        "offers": [_offer(offer) for offer in listed],
        "payment_options": [
            {name: gateway[name] for name in ("gateway", "name", "is_default")}
            for gateway in gateways
        ],
    }


def _plan(plan: Row, prices: Sequence[Price], grants: Sequence[Grant]) -> dict[str, Any]:
    public: dict[str, Any] = {"id": show("plan", plan["id"])}
    public |= {name: plan[name] for name in ("code", "name", "description", "family", "rank")}
    if plan["kind"] == PlanKind.ADDON:
        public["addon_for"] = [show("plan", other) for other in plan["addon_for"]]
    public["features"] = [_feature(grant) for grant in grants]
    public["prices"] = [_price(price) for price in prices]
    return public


def _sold_with(addons: list[dict[str, Any]], plans: Sequence[Row]) -> list[dict[str, Any]]:
    """The add-ons but for those that go only with plans which are not shown."""
    hidden = {
        show("plan", plan["id"]) for plan in plans if plan["restricted"] and not plan["addon_for"]
    }
    return [addon for addon in addons if addon["id"] not in hidden]


def _feature(grant: Grant) -> dict[str, Any]:
    feature = grant.feature
    return {
        "key": feature.key,
        "name": feature.name,
        "type": feature.type,
        "unit": feature.unit,
        "per_unit": feature.per_unit,
        "value": grant.value,
        "reset": grant.reset,
    }


def _price(price: Price) -> dict[str, Any]:
    public: dict[str, Any] = {
        "id": show("price", price.id),
        "nickname": price.nickname,
        "currency": price.currency,
        "type": price.type,
        "interval": None if price.interval is None else price.interval.unit,
        "interval_count": None if price.interval is None else price.interval.count,
        "timing": price.timing,
        "usage_type": price.usage,
        "tax_behaviour": price.tax_behaviour,
        "setup_fee": price.setup_fee_minor,
        "min_quantity": price.min_quantity,
        "max_quantity": price.max_quantity,
    }
    return public | _amounts(price) | {"trial": _trial(price)}


def _amounts(price: Price) -> dict[str, Any]:
    """What is charged: of each model what belongs to it, null or nothing otherwise."""
    share = price.model is PriceModel.PERCENTAGE
    by_unit = price.model not in TIERED and not share
    return {
        "model": price.model,
        "unit_amount_decimal": show_unit_amount(price.unit_amount_scaled) if by_unit else None,
        "tiers": [
            {
                "up_to": tier.up_to,
                "unit_amount_decimal": show_unit_amount(tier.unit_amount_scaled),
                "flat_amount": tier.flat_amount,
            }
            for tier in price.tiers
        ],
        "package_size": price.package_size if price.model is PriceModel.PACKAGE else None,
        "percentage": decimals.show(price.percentage_ppm, PERCENT_PLACES) if share else None,
        "event_amount": price.event_amount_minor,
        "free_events": price.free_events,
        "free_amount": price.free_amount_minor,
    }


def _trial(price: Price) -> dict[str, Any] | None:
    if not price.trial_days:
        return None
    return {
        "days": price.trial_days,
        "amount": price.trial_amount_minor,
        "requires_payment_method": price.trial_requires_payment_method,
    }


def _offer(offer: Row) -> dict[str, Any]:
    coupon, price = offer["coupon_id"], offer["price_id"]
    percent = offer["percent_off"]
    return {
        "id": show("offer", offer["id"]),
        "name": offer["name"],
        "description": offer["description"],
        "price_id": None if price is None else show("price", price),
        "trial_days": offer["trial_days"],
        "end_at": offer["end_at"],
        "discount": None
        if coupon is None
        else {
            "name": offer["coupon_name"],
            "percent_off": None if percent is None else decimals.show(percent, PERCENT_PLACES),
            "amount_off": offer["amount_off"],
            "fixed_price": offer["fixed_price"],
            "currency": offer["currency"],
            "currency_options": orjson.loads(offer["currency_options"]),
            "duration": offer["duration"],
            "duration_in_periods": offer["duration_in_periods"],
        },
    }
