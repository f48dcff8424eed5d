"""Schedules: phases put on a subscription, replaced, and released."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from app.db import decisions, redemptions, schedules
from app.db.base import Row
from app.db.views import SUBSCRIPTION_SCHEDULE
from app.domain import phases
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.errors import NotFound, Stale
from app.domain.phases import EndBehaviour
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import idempotency, lookup, phasing
from app.services.caller import Caller
from app.services.phasing import WantedPhase
from app.services.subscriptions import collect, lock_caught_up


@dataclass(frozen=True, slots=True)
class PutSchedule:
    """The phases that a subscription goes through from now on, and what comes after them."""

    subscription_id: UUID
    phases: Sequence[WantedPhase]
    end_behaviour: EndBehaviour = EndBehaviour.RELEASE
    expected_version: int | None = None


async def put(rt: Runtime, caller: Caller, cmd: PutSchedule) -> UUID:
    """Plan the phases in the place of all that was planned; the first one may begin at once.

    Returns the schedule's id. Raises NotFound, Stale, Conflict, InvalidRequest.
    """
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, cmd.subscription_id)
        before = await schedules.lock(tx, cmd.subscription_id)
        _check_version(before, cmd.expected_version)
        locked, ends_at = account, phasing.planned_end(before)
        sub = account.subscription
        if ends_at is not None and sub.cancel_at == ends_at:
            sub = replace(sub, cancel_at=None)
            account = replace(account, subscription=sub)
        phases.check_schedulable(sub)
        held = {item.price.id for item in sub.items}
        judged = await phasing.judge(
            tx, sub.merchant_id, sub.customer_id, sub.currency, cmd.phases, held, now
        )
        start = phases.first_start(sub, judged.phases[0], now)
        planned = phases.plan(
            sub, judged.phases, cmd.end_behaviour, account.policy, start, now, new_id
        )
        decision = phases.put(account, planned, now, new_id)
        if not _is_idle(decision, locked):
            await decisions.record(tx, [decision], now)
        schedule_id = await phasing.keep(tx, sub.id, cmd.phases, planned, now)
        await redemptions.redeem_all(
            tx, judged.redeemed, sub.customer_id, now, subscription_id=sub.id
        )
        await idempotency.answered(tx, caller, show(SUBSCRIPTION_SCHEDULE.prefix, schedule_id))
    await collect(rt, decision, now)
    return schedule_id


async def release(
    rt: Runtime, caller: Caller, subscription_id: UUID, expected_version: int | None = None
) -> UUID:
    """Let go of the remaining phases; the subscription goes on as it is. Raises NotFound."""
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, subscription_id)
        schedule = _in_force(await schedules.lock(tx, subscription_id))
        _check_version(schedule, expected_version)
        ends_at = phasing.planned_end(schedule)
        decision = phases.release(account.subscription, ends_at, now, new_id)
        if not _is_idle(decision, account):
            await decisions.record(tx, [decision], now)
        await schedules.release(tx, schedule["id"], now)
        public = show(SUBSCRIPTION_SCHEDULE.prefix, schedule["id"])
        await idempotency.answered(tx, caller, public)
    schedule_id: UUID = schedule["id"]
    return schedule_id


async def find(rt: Runtime, caller: Caller, subscription_id: UUID) -> UUID:
    """The id of a subscription's schedule, in force or released. Raises NotFound."""
    async with rt.db.look(caller.merchant_id) as tx:
        row = await schedules.lock(tx, subscription_id)
    if row is None:
        raise lookup.missing(SUBSCRIPTION_SCHEDULE)
    schedule_id: UUID = row["id"]
    return schedule_id


def _is_idle(decision: Decision, was: Account) -> bool:
    """Whether a decision changes nothing but the version."""
    [sub] = decision.subscriptions
    return not decision.scheduled and replace(sub, version=was.subscription.version) == (
        was.subscription
    )


def _in_force(schedule: Row | None) -> Row:
    if schedule is None or schedule["released_at"] is not None:
        raise NotFound("No schedule is in force.", code="subscription_schedule_not_found")
    return schedule


def _check_version(schedule: Row | None, expected: int | None) -> None:
    version = 0 if schedule is None else schedule["version"]
    if expected is not None and expected != version:
        raise Stale(f"It has changed meanwhile: the present version is {version}.")
