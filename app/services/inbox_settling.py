"""Settling what gateways told: ask how the object stands now, and let that be settled.

One object is asked about once for all of its events that wait, and by one worker at a time. What
cannot be settled comes back later and later, and in the end waits for a person.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, TypeAlias

from app import log
from app.db import inbox
from app.db.inbox import Claimed
from app.domain.inbox import Again, EventKind, Ignored, Reason, Status, Verdict, standing
from app.gateways.base import ConfigurationError, Gateway
from app.runtime import Runtime
from app.services import disputes, inbox_money, kept_methods, setup_calls
from app.services.opening import open_account

LEASE: Final = timedelta(minutes=5)
"""Longer than any gateway's time-out with its settling: a dead worker's objects are free then."""
CHUNK: Final = 100
CHUNKS_MAX: Final = 10_000

Handler: TypeAlias = Callable[[Runtime, Gateway, Claimed], Awaitable[Verdict]]
HANDLERS: Final[Mapping[EventKind, Handler]] = MappingProxyType(
    {
        EventKind.PAYMENT: inbox_money.settle_payment,
        EventKind.REFUND: inbox_money.settle_refund,
        EventKind.DISPUTE: disputes.settle_told,
        EventKind.SETUP: setup_calls.settle_told,
        EventKind.METHOD: kept_methods.settle_method,
    }
)

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run came to, in events."""

    settled: int = 0
    ignored: int = 0
    orphaned: int = 0
    parked: int = 0
    waiting: int = 0

    @property
    def looked(self) -> int:
        return self.settled + self.ignored + self.orphaned + self.parked + self.waiting


async def settle_due(rt: Runtime, now: datetime | None = None) -> Ran:
    """Settle every event that is due; those that come meanwhile too."""
    ran = Ran()
    for _ in range(CHUNKS_MAX):
        at = now or rt.clock.now()
        async with rt.db.begin_system() as tx:
            claimed = await inbox.claim(tx, at, at + LEASE, CHUNK)
        if not claimed:
            break
        places = asyncio.Semaphore(rt.settings.charges_in_flight)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_settle(rt, each, places)) for each in claimed]
        for task, each in zip(tasks, claimed, strict=True):
            ran = _counted(ran, task.result(), len(each.together))
    return ran


async def _settle(rt: Runtime, claimed: Claimed, places: asyncio.Semaphore) -> Status:
    """Settle one object's events; where even that cannot be written down, the lease brings it
    back.
    """
    try:
        return await _settle_claimed(rt, claimed, places)
    except Exception:
        logger.exception("inbox.unsettled", inbound=str(claimed.id))
        return Status.RECEIVED


async def _settle_claimed(rt: Runtime, claimed: Claimed, places: asyncio.Semaphore) -> Status:
    async with places:
        try:
            verdict = await _judge(rt, claimed)
        except ConfigurationError as error:
            verdict = Again(f"the account cannot be used: {error}")
        except Exception as error:
            logger.exception("inbox.fault", inbound=str(claimed.id))
            verdict = Again(f"fault_{type(error).__name__}")
    stands = standing(verdict, claimed.attempts)
    async with rt.db.begin_system() as tx:
        await inbox.stand(tx, claimed, stands, rt.clock.now())
    match stands.status:
        case Status.FAILED:
            logger.error("inbox.parked", inbound=str(claimed.id), reason=stands.detail)
        case Status.ORPHANED:
            logger.error("inbox.orphaned", inbound=str(claimed.id), reason=stands.reason)
        case _:
            pass
    return stands.status


async def _judge(rt: Runtime, claimed: Claimed) -> Verdict:
    handler = HANDLERS.get(claimed.event.kind)
    if handler is None:
        return Ignored(Reason.NOT_ACTED_UPON)
    return await handler(rt, open_account(rt, claimed.account), claimed)


def _counted(ran: Ran, status: Status, events: int) -> Ran:
    match status:
        case Status.SETTLED:
            return replace(ran, settled=ran.settled + events)
        case Status.IGNORED:
            return replace(ran, ignored=ran.ignored + events)
        case Status.ORPHANED:
            return replace(ran, orphaned=ran.orphaned + events)
        case Status.FAILED:
            return replace(ran, parked=ran.parked + events)
        case Status.RECEIVED:
            return replace(ran, waiting=ran.waiting + events)
