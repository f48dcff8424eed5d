"""Test clocks: time that a merchant in test mode moves by hand. The same code runs as on the wall.

An advance goes from one thing that is due to the next, at most a day at a time, so that what falls
due on the way happens in its order and bears about its time. A worker does it under a lease; if it
dies, the next one goes on from where the clock stands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app import ids, log
from app.db import ahead, drafts, dunning_due, subscriptions
from app.db import payments as payment_rows
from app.db import test_clocks as rows
from app.db.base import Row
from app.db.scope import Scope
from app.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from app.ids import new_id
from app.runtime import Runtime
from app.services import (
    billing_ahead,
    dunning,
    finalizing,
    idempotency,
    kept_methods,
    look_ups,
    payments,
    refunds,
    renewals,
)
from app.services.caller import Caller

STEP: Final = timedelta(days=1)
"""What is due within this time happens together: exact enough for a test, quick over years."""
ADVANCE_MAX: Final = timedelta(days=3660)
LEASE: Final = timedelta(minutes=2)
STUCK_MAX: Final = 3
"""So many steps without any effect, though something is due, mean that something is wrong."""
logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an advance has come, and what it did so far."""

    at: datetime
    target: datetime
    invoices: int
    attempts: int
    succeeded: int


async def create(rt: Runtime, caller: Caller, name: str | None, frozen_at: datetime) -> UUID:
    """A clock standing at `frozen_at`; customers are bound to it when they are created."""
    if caller.livemode:
        raise Forbidden("Test clocks exist in test mode only.", code="test_mode_only")
    clock_id = new_id()
    async with rt.db.begin(caller.merchant_id) as tx:
        await rows.insert(tx, caller.merchant_id, clock_id, name, frozen_at)
        await idempotency.answered(tx, caller, ids.show("clock", clock_id))
    return clock_id


async def aim(rt: Runtime, caller: Caller, clock_id: UUID, target: datetime) -> UUID:
    """Send the clock forward to `target`; it is `advancing` until a worker has taken it there."""
    async with rt.db.begin(caller.merchant_id) as tx:
        clock = await rows.lock(tx, caller.merchant_id, clock_id)
        if clock is None:
            raise NotFound("There is no such test clock.", code="test_clock_not_found")
        if clock["status"] == "advancing":
            raise Conflict("The clock is advancing already.", code="test_clock_advancing")
        if target <= clock["frozen_at"]:
            raise InvalidRequest(
                f"The clock stands at {clock['frozen_at'].isoformat()}; it only goes forward.",
                param="frozen_at",
            )
        if target - clock["frozen_at"] > ADVANCE_MAX:
            raise InvalidRequest(
                f"A clock advances by at most {ADVANCE_MAX.days} days at once.", param="frozen_at"
            )
        await rows.aim(tx, caller.merchant_id, clock_id, target)
        await idempotency.answered(tx, caller, ids.show("clock", clock_id))
    await rt.bell.ring("advance_clocks")
    return clock_id


async def advance_all(
    rt: Runtime, only: UUID | None = None, progress: Callable[[Progress], None] | None = None
) -> int:
    """Take every advancing clock that nobody else is moving (or `only` that one) to its target."""
    done = 0
    while True:
        now = rt.clock.now()
        async with rt.db.begin_system() as tx:
            clock = await rows.claim(tx, now, now + LEASE, only)
        if clock is None:
            return done
        await _advance(rt, clock, progress)
        done += 1


async def _advance(rt: Runtime, clock: Row, progress: Callable[[Progress], None] | None) -> None:
    merchant, clock_id, target = clock["merchant_id"], clock["id"], clock["target_at"]
    scope = Scope(merchant, clock_id)
    at: datetime = clock["frozen_at"]
    invoices, collected, stuck = 0, payments.Collected(), 0
    while True:
        due = await _next_due(rt, scope)
        if due is None or due > target:
            break
        stuck = stuck + 1 if due <= at else 0
        if stuck > STUCK_MAX:
            await _stop(rt, clock, at, f"something due at {due.isoformat()} does not happen")
            return
        at = min(target, max(at, _midnight_after(due)))
        async with rt.db.begin_system() as tx:
            if not await rows.move(tx, merchant, clock_id, at, rt.clock.now() + LEASE):
                return
        ran = await renewals.renew_due(rt, scope, at)
        invoices += ran.invoices
        await finalizing.finalize_due(rt, scope, at)
        collected += await payments.collect_due(rt, scope, at)
        if (await dunning.look_due(rt, scope, at)).looked:
            collected += await payments.collect_due(rt, scope, at)
        await look_ups.resolve_due(rt, scope, at)
        await refunds.resolve_due(rt, scope, at)
        await kept_methods.tell_expiring(rt, scope, at)
        if progress is not None:
            progress(Progress(at, target, invoices, collected.attempts, collected.succeeded))
    await kept_methods.tell_expiring(rt, scope, target)
    await _stop(rt, clock, target, None)


async def _stop(rt: Runtime, clock: Row, at: datetime, failure: str | None) -> None:
    if failure is not None:
        logger.error("test_clock.stuck", clock=str(clock["id"]), reason=failure)
    async with rt.db.begin_system() as tx:
        await rows.stop(tx, clock["merchant_id"], clock["id"], at, failure)


async def _next_due(rt: Runtime, scope: Scope) -> datetime | None:
    leads = await billing_ahead.leads(rt)
    async with rt.db.begin_system() as tx:
        found = [
            await subscriptions.next_due(tx, scope),
            await drafts.next_due(tx, scope),
            await payment_rows.next_due(tx, scope),
            await dunning_due.next_due(tx, scope),
            await ahead.next_due(tx, scope, leads) if leads else None,
        ]
    return min((due for due in found if due is not None), default=None)


def _midnight_after(at: datetime) -> datetime:
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == at else midnight + STEP
