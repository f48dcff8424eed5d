"""Events, in the order they are numbered: for whoever follows instead of being called."""

from typing import Any
from uuid import UUID

from app.db import events as rows
from app.db import outbox
from app.db.views import EVENT
from app.domain.errors import InvalidRequest
from app.runtime import Runtime
from app.services import fan_out
from app.services.caller import Caller
from app.services.public import shown


async def after(
    rt: Runtime, caller: Caller, seen: UUID | int, type: str | None, limit: int
) -> list[dict[str, Any]]:
    """Up to `limit` events that followed `seen`, an event or its number; 0 begins with the first.

    An event gets its number after its commit, so none ever comes before one that was seen. What is
    not numbered yet is numbered now. Raises InvalidRequest for an event that is not there.
    """
    await numbered(rt, caller.merchant_id)
    async with rt.db.read(caller.merchant_id) as reader:
        number: int | None
        if isinstance(seen, UUID):
            number = await rows.number_of(reader, caller.merchant_id, seen)
        else:
            number = seen
        if number is None:
            raise InvalidRequest(
                "There is no such event.", code="reference_not_found", param="after"
            )
        found = await rows.after(reader, caller.merchant_id, number, type, limit)
    return [shown(EVENT, row) for row in found]


async def numbered(rt: Runtime, merchant_id: UUID) -> None:
    """Let the merchant's events that are committed be numbered, unless somebody is at it."""
    async with rt.db.read(merchant_id) as reader:
        waits = await outbox.is_waiting(reader, merchant_id)
    if waits:
        await fan_out.fan_out_due(rt, only=merchant_id)
