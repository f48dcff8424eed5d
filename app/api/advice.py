"""/v1/subscriptions/…/advice: what its past would have cost on other prices."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import At, MinorUnits, Output, open_enum
from app.api.endpoint import Asked, Endpoint
from app.domain.advice import Advice, Direction, Option
from app.ids import show
from app.services import advice
from app.services.advice import PERIODS_MAX

router = APIRouter(prefix="/v1/subscriptions", tags=["previews"], route_class=Endpoint)

PERIODS = 6


class AdviceQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    periods: Annotated[
        int, Field(ge=1, le=PERIODS_MAX, description="How many past periods to look at.")
    ] = PERIODS


class AdvicePeriod(Output):
    period_start: At
    period_end: At
    quantity: int
    usage_events: int | None


class AdviceOption(Output):
    price_id: c.PriceId
    plan_id: c.PlanId
    description: str
    interval: str
    interval_count: int
    plan_rank: int
    direction: Annotated[str, open_enum(*Direction)]
    costs: Annotated[list[MinorUnits], Field(description="Of each period, as on the list.")]
    total: MinorUnits
    saving: Annotated[int, Field(description="In all, in minor units; below zero it costs more.")]
    savings: Annotated[list[int], Field(description="Of each period.")]
    features_gained: list[str]
    features_lost: list[str]


class ItemAdvice(Output):
    subscription_item_id: c.SubscriptionItemId
    periods: list[AdvicePeriod]
    current: AdviceOption
    options: Annotated[list[AdviceOption], Field(description="The cheapest first.")]
    best_price_id: Annotated[
        c.PriceId | None, Field(description="Null where nothing would be saved.")
    ]


class SubscriptionAdvice(Output):
    object: Literal["subscription_advice"]
    subscription_id: c.SubscriptionId
    currency: c.Currency
    items: list[ItemAdvice]
    saving: Annotated[int, Field(description="On the best prices, over all items and periods.")]


@router.get(
    "/{subscription_id}/advice",
    operation_id="get_subscription_advice",
    response_model=SubscriptionAdvice,
)
async def get_subscription_advice(
    ask: Asked, subscription_id: c.SubscriptionRef, query: Annotated[AdviceQuery, Query()]
) -> Response:
    """What the last periods would have cost on every comparable price, and which is cheapest.

    List prices are compared, without discounts and taxes. Prices of other intervals are taken in
    proportion; what is metered is compared where the same meter counts it.
    """
    found = await advice.of_subscription(ask.rt, ask.caller, subscription_id, query.periods)
    best = [item.best for item in found.items]
    return answer(
        {
            "object": "subscription_advice",
            "subscription_id": show("sub", subscription_id),
            "currency": found.subscription.currency,
            "items": [_item(item) for item in found.items],
            "saving": sum(option.saving for option in best if option is not None),
        }
    )


def _item(item: Advice) -> dict[str, Any]:
    best = item.best
    return {
        "subscription_item_id": show("si", item.item_id),
        "periods": [
            {
                "period_start": past.period.start,
                "period_end": past.period.end,
                "quantity": past.quantity,
                "usage_events": past.events,
            }
            for past in item.past
        ],
        "current": _option(item.current, item.current),
        "options": [_option(option, item.current) for option in item.options],
        "best_price_id": None if best is None else show("price", best.price.id),
    }


def _option(option: Option, current: Option) -> dict[str, Any]:
    price = option.price
    return {
        "price_id": show("price", price.id),
        "plan_id": show("plan", price.plan_id),
        "description": price.description,
        "interval": price.every.unit,
        "interval_count": price.every.count,
        "plan_rank": price.plan_rank,
        "direction": option.direction,
        "costs": option.costs,
        "total": option.total,
        "saving": option.saving,
        "savings": [was - is_ for was, is_ in zip(current.costs, option.costs, strict=True)],
        "features_gained": option.gained,
        "features_lost": option.lost,
    }
