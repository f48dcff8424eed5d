"""What customers and subscriptions are entitled to."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.catalog_objects import Entitlement
from app.api.common import ListOf
from app.api.endpoint import Asked, Endpoint
from app.domain.entitlement import Entitlement as Entitled
from app.ids import show
from app.services import features, history

router = APIRouter(prefix="/v1", tags=["features"], route_class=Endpoint)


class EntitlementList(ListOf[Entitlement]):
    pass


@router.get(
    "/customers/{customer_id}/entitlements",
    operation_id="list_customer_entitlements",
    response_model=EntitlementList,
)
async def list_customer_entitlements(
    ask: Asked, customer_id: c.CustomerRef, as_of: c.AsOf = None
) -> Response:
    """What all of a customer's subscriptions entitle to together, by key.

    Active, trialing and past due ones count; what is paused or unpaid gives nothing. With `as_of`,
    by the subscriptions of then and by what their plans give now.
    """
    if as_of is not None:
        then = await history.entitlements_of_customer(ask.rt, ask.caller, customer_id, as_of)
        return _listed(then)
    return _listed(await features.of_customer(ask.rt, ask.caller, customer_id))


@router.get(
    "/subscriptions/{subscription_id}/entitlements",
    operation_id="list_subscription_entitlements",
    response_model=EntitlementList,
)
async def list_subscription_entitlements(
    ask: Asked, subscription_id: c.SubscriptionRef, as_of: c.AsOf = None
) -> Response:
    """What one subscription entitles to, by key; with `as_of`, by its items of then."""
    if as_of is not None:
        then = await history.entitlements_of_subscription(
            ask.rt, ask.caller, subscription_id, as_of
        )
        return _listed(then)
    return _listed(await features.of_subscription(ask.rt, ask.caller, subscription_id))


def _listed(entitled: Iterable[Entitled]) -> Response:
    data = [_shown(one) for one in entitled]
    return answer({"object": "list", "data": data, "has_more": False, "next_cursor": None})


def _shown(entitled: Entitled) -> dict[str, Any]:
    feature = entitled.feature
    return {
        "object": "entitlement",
        "feature_id": show("ftr", feature.id),
        "key": feature.key,
        "name": feature.name,
        "type": feature.type,
        "unit": feature.unit,
        "value": entitled.value,
        "reset": entitled.reset,
        "sources": [
            {
                "subscription_id": show("sub", source.subscription_id),
                "plan_id": show("plan", source.plan_id),
                "quantity": source.quantity,
                "value": source.value,
            }
            for source in entitled.sources
        ],
    }
