"""Price migrations: worked out first, then carried out, a chunk of subscriptions at a time.

Each subscription is decided as a change by hand would be, and marked in the transaction that moves
it. A worker does it under a lease; if it dies, the next one goes on with those that are not marked.
One that cannot be moved says why and stops none of the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import events, prices, views
from app.db import price_migrations as rows
from app.db.base import Row, Tx
from app.db.price_migrations import NewPriceMigration
from app.db.views import PRICE_MIGRATION
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Type
from app.domain.migrating import Moment, Status
from app.domain.policy import Settlement
from app.ids import new_id
from app.runtime import Runtime
from app.services import answers, lookup, price_moves
from app.services.caller import Caller

AT_ONCE: Final = 5
"""Chunks of an estimate that are made before the answer; a worker makes the others."""
CANCELABLE: Final = frozenset({Status.ESTIMATING, Status.READY, Status.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePriceMigration:
    """Who is moved from where to where, when, and how it is settled."""

    to_price_id: UUID
    from_price_id: UUID | None = None
    from_plan_id: UUID | None = None
    moment: Moment = Moment.RENEWAL
    at: datetime | None = None
    settlement: Settlement | None = None
    countries: Sequence[str] = ()
    created_before: datetime | None = None
    subscription_metadata: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


async def create(rt: Runtime, caller: Caller, cmd: CreatePriceMigration) -> UUID:
    """Write down whom it is about, and work out what it would do; nothing is moved yet.

    Raises InvalidRequest.
    """
    now = rt.clock.now()
    _check(cmd, now)
    new = NewPriceMigration(
        id=new_id(),
        from_price_id=cmd.from_price_id,
        from_plan_id=cmd.from_plan_id,
        to_price_id=cmd.to_price_id,
        moment=cmd.moment,
        at=cmd.at,
        settlement=cmd.settlement,
        countries=cmd.countries,
        created_before=cmd.created_before,
        subscription_metadata=cmd.subscription_metadata,
        metadata=cmd.metadata,
    )
    async with rt.db.begin(caller.merchant_id) as tx:
        await _check_prices(tx, caller.merchant_id, cmd)
        await rows.insert(tx, caller.merchant_id, new, now)
        row = await answers.present(tx, caller, PRICE_MIGRATION, new.id)
        created = Type.PRICE_MIGRATION_CREATED
        await events.append(tx, caller.merchant_id, created, PRICE_MIGRATION, row, now)
    if await price_moves.work(rt, new.id, chunks_max=AT_ONCE):
        await rt.bell.ring("migrate_prices")
    return new.id


def _check(cmd: CreatePriceMigration, now: datetime) -> None:
    if (cmd.from_price_id is None) == (cmd.from_plan_id is None):
        raise InvalidRequest("Name the price or the plan to move from.", param="from_price_id")
    if cmd.from_price_id == cmd.to_price_id:
        raise InvalidRequest("These are the same price.", param="to_price_id")
    if (cmd.moment is Moment.AT) != (cmd.at is not None):
        raise InvalidRequest("Say when, or at which moment.", param="at")
    if cmd.at is not None and cmd.at <= now:
        raise InvalidRequest("This moment has passed.", param="at")


async def _check_prices(tx: Tx, merchant_id: UUID, cmd: CreatePriceMigration) -> None:
    named = {cmd.to_price_id, cmd.from_price_id} - {None}
    found = await prices.load(tx, ((merchant_id, price) for price in named if price is not None))
    wanted = found.get((merchant_id, cmd.to_price_id))
    if wanted is None:
        raise InvalidRequest("There is no such price.", code="price_not_found", param="to_price_id")
    if wanted.interval is None:
        raise InvalidRequest("A one-time price is not an item.", param="to_price_id")
    if not wanted.active:
        raise InvalidRequest(
            "This price is not offered.", code="price_inactive", param="to_price_id"
        )
    if cmd.from_price_id is not None and (merchant_id, cmd.from_price_id) not in found:
        raise InvalidRequest(
            "There is no such price.", code="price_not_found", param="from_price_id"
        )
    if cmd.from_plan_id is not None:
        plan = await views.one(tx, views.PLAN, merchant_id, cmd.from_plan_id)
        if plan is None:
            raise InvalidRequest(
                "There is no such plan.", code="plan_not_found", param="from_plan_id"
            )


async def execute(rt: Runtime, caller: Caller, migration_id: UUID) -> Row:
    """Carry out a migration whose estimate is ready. Raises NotFound, Conflict."""
    async with rt.db.begin(caller.merchant_id) as tx:
        migration = await _lock(tx, migration_id)
        status = Status(migration["status"])
        if status is not Status.READY:
            raise Conflict(
                "Its estimate is still being made."
                if status is Status.ESTIMATING
                else f"It is {status} already.",
                code=f"price_migration_{status}",
            )
        await rows.start(tx, migration_id, rt.clock.now())
        row = await answers.present(tx, caller, PRICE_MIGRATION, migration_id)
    await rt.bell.ring("migrate_prices")
    return row


async def cancel(rt: Runtime, caller: Caller, migration_id: UUID) -> Row:
    """Stop a migration where it is: what is moved stays moved. Raises NotFound, Conflict."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        status = Status((await _lock(tx, migration_id))["status"])
        if status not in CANCELABLE:
            raise Conflict(f"It is {status} already.", code=f"price_migration_{status}")
        await rows.cancel(tx, migration_id, now)
        row = await answers.present(tx, caller, PRICE_MIGRATION, migration_id)
        canceled = Type.PRICE_MIGRATION_CANCELED
        await events.append(tx, caller.merchant_id, canceled, PRICE_MIGRATION, row, now)
    return row


async def _lock(tx: Tx, migration_id: UUID) -> Row:
    migration = await rows.lock(tx, migration_id)
    if migration is None:
        raise lookup.missing(PRICE_MIGRATION)
    return migration
