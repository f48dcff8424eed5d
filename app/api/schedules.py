"""/v1/subscriptions/{id}/schedule: the phases that a subscription goes through."""

from fastapi import APIRouter
from starlette.responses import Response

from app.api import common as c
from app.api.endpoint import Asked, Endpoint
from app.api.schedule_objects import SubscriptionSchedule, SubscriptionSchedulePut
from app.db.views import SUBSCRIPTION_SCHEDULE
from app.services import schedules
from app.services.schedules import PutSchedule

router = APIRouter(prefix="/v1/subscriptions", tags=["schedules"], route_class=Endpoint)


@router.put(
    "/{subscription_id}/schedule",
    operation_id="put_subscription_schedule",
    response_model=SubscriptionSchedule,
)
async def put_subscription_schedule(
    ask: Asked, subscription_id: c.SubscriptionRef, body: SubscriptionSchedulePut
) -> Response:
    """Put a subscription on a schedule of phases, in the place of all changes that wait.

    The first phase may begin now, settled as it says; the others begin by themselves.
    """
    cmd = PutSchedule(
        subscription_id,
        tuple(phase.wanted() for phase in body.phases),
        body.end_behaviour,
        ask.expected_version(),
    )
    done = await schedules.put(ask.rt, ask.caller, cmd)
    return await ask.present(SUBSCRIPTION_SCHEDULE, done)


@router.get(
    "/{subscription_id}/schedule",
    operation_id="get_subscription_schedule",
    response_model=SubscriptionSchedule,
)
async def get_subscription_schedule(ask: Asked, subscription_id: c.SubscriptionRef) -> Response:
    """Get a subscription's schedule, with the phase it is in."""
    found = await schedules.find(ask.rt, ask.caller, subscription_id)
    return await ask.present(SUBSCRIPTION_SCHEDULE, found)


@router.delete(
    "/{subscription_id}/schedule",
    operation_id="release_subscription_schedule",
    response_model=SubscriptionSchedule,
)
async def release_subscription_schedule(ask: Asked, subscription_id: c.SubscriptionRef) -> Response:
    """Release a subscription from its schedule: it goes on as it is, and nothing more is due."""
    version = ask.expected_version()
    done = await schedules.release(ask.rt, ask.caller, subscription_id, version)
    return await ask.present(SUBSCRIPTION_SCHEDULE, done)
