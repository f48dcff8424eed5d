"""Telling an endpoint once more, by request: one event, all of a time, or a test."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import events, views, webhook_lanes
from app.db import webhook_endpoints as endpoints
from app.db.base import Row, Tx
from app.db.views import DELIVERY_SUMMARY, EVENT, WEBHOOK_ENDPOINT
from app.domain.delivery import Cause
from app.domain.errors import Conflict
from app.domain.event import Type
from app.domain.webhook import Endpoint
from app.ids import show
from app.runtime import Runtime
from app.services import answers, deeds, fan_out, idempotency, lookup
from app.services.caller import Caller
from app.services.events import numbered

REPLAY_MAX: Final = 10_000
"""Deliveries made by one call; the answer says where the next begins."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Tell an endpoint again what it asks for, of the events that were written down in a time, or
    only of those numbered above `after`.

    The time is the wall clock's, also for what happened on test clocks; without an end: until now.
    """

    endpoint_id: UUID
    start: datetime
    end: datetime | None = None
    after: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many deliveries were made, and the number to go on after, if there are more."""

    deliveries: int
    next_after: int | None


async def resend(rt: Runtime, caller: Caller, event_id: UUID, endpoint_id: UUID) -> Row:
    """Tell one endpoint of an event once more, whatever it asks for; the new delivery.

    Raises NotFound, and Conflict where the endpoint is disabled or the event not numbered yet.
    """
    await numbered(rt, caller.merchant_id)
    now, key = rt.clock.now(), (caller.merchant_id, endpoint_id)
    async with rt.db.begin(caller.merchant_id) as tx:
        event = await events.told(tx, caller.merchant_id, event_id)
        if event is None:
            raise lookup.missing(EVENT)
        await _check_enabled(tx, caller, endpoint_id)
        if await events.number_of(tx, caller.merchant_id, event_id) is None:
            raise Conflict("It is being told for the first time.", code="event_not_numbered")
        [made] = await fan_out.deliver_to(tx, {key: [event]}, Cause.RESEND, now)
        await deeds.note(tx, caller, "delivery.resent", made, now, event=show("evt", event_id))
        row = await answers.present(tx, caller, DELIVERY_SUMMARY, made)
    await rt.bell.ring("deliver")
    return row


async def replay(rt: Runtime, caller: Caller, cmd: Replay) -> Replayed:
    """Tell an endpoint of a time again, in order; what is still to be delivered is left out.

    Raises NotFound, and Conflict where the endpoint is disabled.
    """
    await numbered(rt, caller.merchant_id)
    now, key = rt.clock.now(), (caller.merchant_id, cmd.endpoint_id)
    async with rt.db.begin(caller.merchant_id) as tx:
        endpoint = await _check_enabled(tx, caller, cmd.endpoint_id)
        limit = REPLAY_MAX + 1
        found = await events.of_time(
            tx, caller.merchant_id, endpoint, (cmd.start, cmd.end), cmd.after, limit
        )
        now_told, rest = found[:REPLAY_MAX], found[REPLAY_MAX:]
        if now_told:
            again = [event for _, event in now_told]
            await fan_out.deliver_to(tx, {key: again}, Cause.REPLAY, now)
        await deeds.note(
            tx, caller, "webhook_endpoint.replayed", cmd.endpoint_id, now, events=len(now_told)
        )
        await idempotency.answered(tx, caller, show(WEBHOOK_ENDPOINT.prefix, cmd.endpoint_id))
    await rt.bell.ring("deliver")
    return Replayed(len(now_told), now_told[-1][0] if rest else None)


async def ping(rt: Runtime, caller: Caller, endpoint_id: UUID) -> Row:
    """Write down an event that goes to this endpoint, whatever it asks for; the event.

    Raises NotFound, and Conflict where the endpoint is disabled.
    """
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        await _check_enabled(tx, caller, endpoint_id)
        row = await views.one(tx, WEBHOOK_ENDPOINT, caller.merchant_id, endpoint_id)
        assert row is not None
        made = await events.append(
            tx, caller.merchant_id, Type.WEBHOOK_ENDPOINT_PING, WEBHOOK_ENDPOINT, row, now
        )
        event = await answers.present(tx, caller, EVENT, made)
    await rt.bell.ring("number_events")
    return event


async def _check_enabled(tx: Tx, caller: Caller, id: UUID) -> Endpoint:
    """The endpoint, which may be called, with its lane. Raises NotFound, Conflict."""
    key = caller.merchant_id, id
    await webhook_lanes.lock(tx, [key])
    row = await endpoints.lock(tx, *key)
    if row is None:
        raise lookup.missing(WEBHOOK_ENDPOINT)
    if not row["enabled"]:
        raise Conflict(
            "The webhook endpoint is disabled: enable it first.", code="webhook_endpoint_disabled"
        )
    return endpoints.endpoint(row)
