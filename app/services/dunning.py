"""Dunning by the clock and by hand: runs that are due are looked at, paused, resumed, stopped.

What is due is claimed a chunk at a time, of each customer one run. Subscriptions, payments and
invoices are locked before the runs, as everywhere, and never across a call to a gateway: attempts
are due as payments, and made by those who collect.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app import ids, log
from app.db import accounts, decisions, dunning_due, invoices
from app.db import dunning as rows
from app.db import payments as payment_rows
from app.db.base import Row, Tx
from app.db.scope import Scope
from app.domain import dunning, dunning_ending, dunning_following
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.dunning import Case, Finish
from app.domain.dunning_following import Known
from app.domain.dunning_run import Dunning, Status
from app.domain.errors import BillingError, Conflict, Stale
from app.ids import new_id
from app.runtime import Runtime
from app.services import deeds, idempotency, payments
from app.services.caller import Caller
from app.services.moments import now_of_customer
from app.services.renewals import ROW_FAULTS

CHUNK: Final = 200
"""Runs looked at in one transaction: ending one loads all that its subscription depends on."""
CHUNKS_MAX: Final = 10_000
WALL: Final = Scope()
Key = tuple[UUID, UUID]
logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of the clock did: runs looked at, runs that ended without success, set aside."""

    looked: int = 0
    exhausted: int = 0
    parked: int = 0

    def __add__(self, other: "Run") -> "Run":
        return Run(
            self.looked + other.looked,
            self.exhausted + other.exhausted,
            self.parked + other.parked,
        )


async def look_due(rt: Runtime, scope: Scope = WALL, now: datetime | None = None) -> Run:
    """Look at every run that is due at `now` (None: the clock's now)."""
    now = now or rt.clock.now()
    total, passed = Run(), set[UUID]()
    for _ in range(CHUNKS_MAX):
        async with rt.db.begin_system() as tx:
            due = await dunning_due.due(tx, scope, now, CHUNK, passed)
            due = due or await dunning_due.overdue(tx, scope, now, CHUNK, passed)
        if not due:
            break
        total += await _chunk(rt, due, now, passed)
    if total.looked and scope == WALL:
        await rt.bell.ring("collect")
    return total


async def look_on_test_clocks(rt: Runtime) -> Run:
    """On test clocks that stand still: try methods that came or changed, as on the wall's."""
    total = Run()
    async with rt.db.begin_system() as tx:
        clocks = await dunning_due.changed_on_test_clocks(tx)
    for clock in clocks:
        scope = Scope(clock["merchant_id"], clock["test_clock_id"])
        total += await look_due(rt, scope, clock["frozen_at"])
        await payments.collect_due(rt, scope, clock["frozen_at"])
    return total


async def _chunk(rt: Runtime, due: Sequence[Row], now: datetime, passed: set[UUID]) -> Run:
    """These in one transaction; where that is refused, one by one."""
    try:
        async with rt.db.begin_system() as tx:
            return await _look_all(tx, due, now, passed)
    except ROW_FAULTS as error:
        if isinstance(error, Conflict) and error.code == "lock_timeout":
            passed.update(row["id"] for row in due)
            return Run()
        if len(due) == 1:
            return await _set_aside(rt, due[0], error, now, passed)
    total = Run()
    for row in due:
        total += await _chunk(rt, [row], now, passed)
    return total


async def _set_aside(
    rt: Runtime, row: Row, error: Exception, now: datetime, passed: set[UUID]
) -> Run:
    passed.add(row["id"])
    if isinstance(error, Stale):  # somebody was quicker, and nothing is wrong with it
        return Run()
    reason = (
        error.message if isinstance(error, BillingError) else f"{type(error).__name__}: {error}"
    )
    logger.error("dunning.parked", run=str(row["id"]), reason=reason)
    async with rt.db.begin_system() as tx:
        await dunning_due.park(tx, (row["merchant_id"], row["id"]), reason, now)
    return Run(parked=1)


async def _look_all(tx: Tx, due: Sequence[Row], now: datetime, passed: set[UUID]) -> Run:
    """Look at what nobody else is just working on; the rest is passed over this time."""
    keys = [(row["merchant_id"], row["invoice_id"]) for row in due]
    concerned = await rows.subscriptions_of(tx, keys)
    subs = [key for some in concerned.values() for key in some]
    free = {(a.subscription.merchant_id, a.subscription.id): a for a in await _free(tx, subs, now)}
    await payment_rows.of_invoices(tx, keys)
    await invoices.lock_many(tx, keys)
    known = await rows.load(tx, keys, now)
    still = await dunning_due.still_due(tx, keys, now)
    decided: list[Decision] = []
    exhausted = looked = 0
    for row in due:
        key = row["merchant_id"], row["invoice_id"]
        about = concerned.get(key, [])
        is_free = key in known and all(one in free for one in about)
        if not is_free or (key not in still and known[key].run is not None):
            passed.add(row["id"])
            continue
        of = [free[one] for one in about]
        found = _decide(known[key], of, now)
        exhausted += any(run.ended_at is not None for each in found for run in each.dunning)
        looked += 1
        decided += found
    await decisions.record(tx, decided, now)
    return Run(looked, exhausted)


async def _free(tx: Tx, subs: Sequence[Key], now: datetime) -> list[Account]:
    """Those of these subscriptions that nobody else has locked, locked, as decisions need them."""
    if not subs:
        return []
    return await accounts.lock_free(tx, subs, now)


def _is_behind_the_clock(account: Account, now: datetime) -> bool:
    sub = account.subscription
    return sub.next_action_at is not None and sub.next_action_at <= now


def _decide(known: Known, of: Sequence[Account], now: datetime) -> list[Decision]:
    run = known.run
    subscriptions = tuple(account.subscription for account in of)
    if run is None:
        return [dunning_following.overdue(known, subscriptions, now, new_id)]
    if any(_is_behind_the_clock(account, now) for account in of):
        return [dunning.put_off(run, now)]  # what is due on it happens first
    case = Case(run, known.invoice, known.payment, known.facts, subscriptions)
    verdict = dunning.look(case, now, new_id)
    if isinstance(verdict, Finish):
        return dunning_ending.finish(case, of, now, new_id)
    return [verdict]


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────


async def pause(rt: Runtime, caller: Caller, run_id: UUID) -> UUID:
    """Let its days stand still until it is resumed. Raises NotFound, Conflict."""
    async with rt.db.begin(caller.merchant_id) as tx:
        known, now = await _lock(rt, tx, run_id)
        decision = dunning.pause(_run(known), known.payment, now, new_id)
        await _record(tx, caller, decision, "dunning_run.paused", now)
    return run_id


async def resume(rt: Runtime, caller: Caller, run_id: UUID) -> UUID:
    """Go on where it was paused, or where it was set aside. Raises NotFound, Conflict."""
    async with rt.db.begin(caller.merchant_id) as tx:
        known, now = await _lock(rt, tx, run_id)
        was_parked = await dunning_due.unpark(tx, (caller.merchant_id, run_id))
        if was_parked and _run(known).status is Status.ACTIVE:
            await deeds.note(tx, caller, "dunning_run.unparked", run_id, now)
            await idempotency.answered(tx, caller, ids.show("dun", run_id))
            return run_id
        decision = dunning.resume(_run(known), known.payment, known.facts, now, new_id)
        await _record(tx, caller, decision, "dunning_run.resumed", now)
    rt.bell.ring_soon("dun")
    return run_id


async def stop(rt: Runtime, caller: Caller, run_id: UUID) -> UUID:
    """End it: nothing is tried, told or done any more. Raises NotFound, Conflict."""
    async with rt.db.begin(caller.merchant_id) as tx:
        known, now = await _lock(rt, tx, run_id)
        decision = dunning.stop(_run(known), known.payment, now, new_id)
        await _record(tx, caller, decision, "dunning_run.stopped", now)
    return run_id


async def invoice_of(rt: Runtime, caller: Caller, run_id: UUID) -> UUID:
    """The invoice that a run is about. Raises NotFound."""
    async with rt.db.begin(caller.merchant_id) as tx:
        return (await rows.get(tx, run_id)).invoice_id


def _run(known: Known) -> Dunning:
    assert known.run is not None
    return known.run


async def _lock(rt: Runtime, tx: Tx, run_id: UUID) -> tuple[Known, datetime]:
    """The run with its invoice and payment, locked in the order that collection locks them in."""
    run = await rows.get(tx, run_id)
    key = run.merchant_id, run.invoice_id
    await payment_rows.of_invoices(tx, [key])
    await invoices.lock_many(tx, [key])
    now = await now_of_customer(rt, tx, run.customer_id)
    known = await rows.load(tx, [key], now)
    return known[key], now


async def _record(tx: Tx, caller: Caller, decision: Decision, action: str, now: datetime) -> None:
    [run] = decision.dunning
    await deeds.note(tx, caller, action, run.id, now)
    await decisions.record(tx, [decision], now)
    await idempotency.answered(tx, caller, ids.show("dun", run.id))
