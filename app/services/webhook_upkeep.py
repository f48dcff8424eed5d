"""Deliveries that nobody waits for are canceled, those of long ago forgotten, chunk by chunk."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from app.db import webhook_deliveries, webhook_lanes
from app.runtime import Runtime

KEPT: Final = timedelta(days=30)
"""How long a delivery is shown after it was settled, and waits for an endpoint that is disabled."""
CHUNK: Final = 5_000
"""Rows of one short transaction."""
CHUNKS_MAX: Final = 200
"""Of a run; the next one goes on."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What a run came to."""

    canceled: int = 0
    forgotten: int = 0


async def tidy(rt: Runtime) -> Tidied:
    """Cancel what waits for endpoints that are deleted, or disabled for too long; forget what was
    settled long ago, with its attempts.
    """
    now, canceled, forgotten = rt.clock.now(), 0, 0
    for _ in range(CHUNKS_MAX):
        async with rt.db.begin_system() as tx:
            cut = await webhook_deliveries.cancel_unwanted(tx, now, now - KEPT, CHUNK)
            gone = await webhook_deliveries.forget(tx, now - KEPT, CHUNK)
            await webhook_lanes.forget_before(tx, gone)
        canceled, forgotten = canceled + cut, forgotten + len(gone)
        if cut < CHUNK and len(gone) < CHUNK:
            break
    return Tidied(canceled, forgotten)
