"""Events, in the order they came to be: for whoever follows instead of being called."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from app.db import events as rows
from app.db.views import EVENT
from app.ids import new_id
from app.runtime import Runtime
from app.services.caller import Caller
from app.services.public import shown

SETTLED: Final = timedelta(seconds=5)
"""Whoever follows sees an event this late. Ids are made a moment before their commit; without the
wait, one that commits late could have a lower id than one already seen, and be missed."""
MILLISECONDS_SHIFT: Final = 80
"""A UUIDv7 begins with 48 bits of milliseconds."""


async def after(
    rt: Runtime, caller: Caller, seen: UUID, type: str | None, limit: int
) -> list[dict[str, Any]]:
    """Up to `limit` events younger than `seen`, the oldest first."""
    async with rt.db.read(caller.merchant_id) as reader:
        found = await rows.after(reader, caller.merchant_id, seen, _horizon(), type, limit)
    return [shown(EVENT, row) for row in found]


def _horizon() -> UUID:
    now_ms = new_id().int >> MILLISECONDS_SHIFT
    return UUID(int=(now_ms - SETTLED // timedelta(milliseconds=1)) << MILLISECONDS_SHIFT)
