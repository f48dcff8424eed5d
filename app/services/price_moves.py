"""The work of price migrations: a chunk of subscriptions is estimated, or moved, at a time.

A chunk is loaded, decided and recorded in a few statements, with its rows' marks, in one
transaction that also holds the migration's own row: two workers take turns, and a stop is heard.
A chunk that the database refuses is halved down to the one that is at fault.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final
from uuid import UUID

from app import log
from app.db import accounts, decisions, events, prices, views
from app.db import price_migrations as rows
from app.db.base import Row, Tx
from app.db.price_migrations import Looked
from app.db.views import PRICE_MIGRATION
from app.domain import migrating
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.errors import BillingError, Conflict
from app.domain.event import Type
from app.domain.migrating import Effect, Moment, Move, Status
from app.domain.policy import Settlement
from app.ids import new_id
from app.runtime import Runtime
from app.services import payments
from app.services.renewals import ROW_FAULTS
from app.services.subscriptions import lock_caught_up

CHUNK: Final = 200
"""Subscriptions in one transaction: enough for bulk statements, few to hold locked."""
CHUNKS_MAX: Final = 10_000
"""A run ends after this many chunks; the next one goes on where it stopped."""
LEASE: Final = timedelta(minutes=2)
logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did: subscriptions looked at, moved, and found immovable."""

    looked: int = 0
    moved: int = 0
    failed: int = 0

    def __add__(self, other: "Ran") -> "Ran":
        return Ran(self.looked + other.looked, self.moved + other.moved, self.failed + other.failed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one subscription, decided at `at`, on the wall's clock or a test clock's."""

    looked: Looked
    decision: Decision | None
    at: datetime
    on_wall: bool


async def run_due(rt: Runtime) -> Ran:
    """Work on every migration that nobody else is working on, until nothing is left."""
    total = Ran()
    for _ in range(CHUNKS_MAX):
        now = rt.clock.now()
        async with rt.db.begin_system() as tx:
            claimed = await rows.claim(tx, now, now + LEASE)
        if claimed is None:
            break
        ran, _ = await _work(rt, claimed, CHUNKS_MAX)
        total += ran
    return total


async def work(rt: Runtime, migration_id: UUID, chunks_max: int = CHUNKS_MAX) -> bool:
    """Work on one migration if nobody else does; whether something is left to do."""
    now = rt.clock.now()
    async with rt.db.begin_system() as tx:
        claimed = await rows.claim(tx, now, now + LEASE, migration_id)
    if claimed is None:
        return True
    _, is_done = await _work(rt, claimed, chunks_max)
    return not is_done


async def _work(rt: Runtime, migration: Row, chunks_max: int) -> tuple[Ran, bool]:
    total, status = Ran(), Status(migration["status"])
    chunk = _estimate if status is Status.ESTIMATING else _move
    for _ in range(chunks_max):
        ran = await chunk(rt, migration)
        if ran is None:
            return total, True
        total += ran
        if ran == Ran():  # somebody holds what it needs: the next run goes on
            break
    async with rt.db.begin(migration["merchant_id"]) as tx:
        await rows.let_go(tx, migration["id"])
    return total, False


def _size(rt: Runtime) -> int:
    return min(CHUNK, rt.settings.chunk_size)


async def _wanted(tx: Tx, migration: Row) -> Move:
    merchant, price_id = migration["merchant_id"], migration["to_price_id"]
    priced = await prices.load(tx, [(merchant, price_id)])
    settlement = migration["settlement"]
    sources = await rows.sources(
        tx, merchant, migration["from_price_id"], migration["from_plan_id"], price_id
    )
    return Move(
        frozenset(sources),
        priced[merchant, price_id],
        Moment(migration["moment"]),
        migration["moves_at"],
        None if settlement is None else Settlement(settlement),
    )


# ── estimating ────────────────────────────────────────────────────────────────────────────────────


async def _estimate(rt: Runtime, migration: Row) -> Ran | None:
    """Look at the next subscriptions as if they were moved now; None: all are looked at."""
    merchant, migration_id = migration["merchant_id"], migration["id"]
    now = rt.clock.now()
    async with rt.db.look(merchant) as tx:
        seen = await rows.lock(tx, migration_id)
        assert seen is not None
        ids = await rows.pending(tx, migration_id, seen["looked_to"], _size(rt))
        found = await rows.lock_subscriptions(tx, ids)
        wanted = await _wanted(tx, migration)
        verdicts = [
            _verdict(account, row, wanted, at, only_looks=True)
            for at, group in _by_time(found, now)
            for row, account in await _accounts(tx, group, at)
        ]
    async with rt.db.begin(merchant) as tx:
        held = await rows.hold(tx, migration_id, Status.ESTIMATING, now + LEASE)
        if held is None or held["looked_to"] != seen["looked_to"]:
            return None if held is None else Ran()
        if not ids:
            await rows.estimated(tx, migration_id)
            return None
        await rows.note(tx, migration_id, [verdict.looked for verdict in verdicts])
        await rows.look_to(tx, migration_id, ids[-1])
    return Ran(looked=len(verdicts))


# ── moving ────────────────────────────────────────────────────────────────────────────────────────


async def _move(rt: Runtime, migration: Row, only: Sequence[UUID] | None = None) -> Ran | None:
    """Move the next subscriptions, or `only` these; None: nothing is left, or it was stopped."""
    now, ids = rt.clock.now(), list[UUID]()
    migration_id = migration["id"]
    try:
        async with rt.db.begin(migration["merchant_id"]) as tx:
            if await rows.hold(tx, migration_id, Status.RUNNING, now + LEASE) is None:
                return None
            ids = await rows.pending(tx, migration_id, None, _size(rt), only)
            if not ids:
                if only is None:
                    await _complete(tx, migration, now)
                return None
            verdicts = await _move_all(rt, tx, migration, ids, now)
    except ROW_FAULTS as error:
        if isinstance(error, Conflict) and error.code == "lock_timeout":
            logger.warning("price_migration.lock_timeout", rows=len(ids))
            return Ran()
        if not ids:
            raise
        return await _halve(rt, migration, ids, error)
    await _collect(rt, verdicts)
    moved = sum(verdict.decision is not None for verdict in verdicts)
    return Ran(len(verdicts), moved, len(verdicts) - moved)


async def _move_all(
    rt: Runtime, tx: Tx, migration: Row, ids: Sequence[UUID], now: datetime
) -> list[Verdict]:
    """Decide and record; of several subscriptions of one customer the first: they share credit."""
    found = await rows.lock_subscriptions(tx, ids)
    of_customers = {row["customer_id"]: row["id"] for row in reversed(found)}
    chosen = sorted(of_customers.values())
    behind = [row["id"] for row in found if row["id"] in chosen and _is_behind(row, now)]
    for subscription_id in behind:  # what is due comes first, so that no period goes unbilled
        await lock_caught_up(rt, tx, subscription_id)
    if behind or len(chosen) < len(found):
        found = await rows.lock_subscriptions(tx, chosen)
    wanted = await _wanted(tx, migration)
    verdicts: list[Verdict] = []
    for at, group in _by_time(found, now):
        decided = [
            _verdict(account, row, wanted, at) for row, account in await _accounts(tx, group, at)
        ]
        moved = [one.decision for one in decided if one.decision is not None]
        await decisions.record(tx, moved, at)
        verdicts += decided
    looked = [verdict.looked for verdict in verdicts]
    await rows.note(tx, migration["id"], looked, done_at=now)
    await rows.count(tx, migration["id"], looked)
    return verdicts


async def _halve(rt: Runtime, migration: Row, ids: Sequence[UUID], error: Exception) -> Ran | None:
    if len(ids) > 1:
        middle = len(ids) // 2
        total = Ran()
        for part in (ids[:middle], ids[middle:]):
            ran = await _move(rt, migration, part)
            if ran is None:
                return None
            total += ran
        return total
    refused = _refused(ids[0], error)
    now = rt.clock.now()
    async with rt.db.begin(migration["merchant_id"]) as tx:
        if await rows.hold(tx, migration["id"], Status.RUNNING, now + LEASE) is None:
            return None
        await rows.note(tx, migration["id"], [refused], done_at=now)
        await rows.count(tx, migration["id"], [refused])
    return Ran(1, 0, 1)


async def _complete(tx: Tx, migration: Row, now: datetime) -> None:
    merchant, migration_id = migration["merchant_id"], migration["id"]
    await rows.complete(tx, migration_id, now)
    row = await views.one(tx, PRICE_MIGRATION, merchant, migration_id)
    assert row is not None
    completed = Type.PRICE_MIGRATION_COMPLETED
    await events.append(tx, merchant, completed, PRICE_MIGRATION, row, now)


async def _collect(rt: Runtime, verdicts: Sequence[Verdict]) -> None:
    """What was charged is collected: by the workers, or at the time of its test clock."""
    moved = [one for one in verdicts if one.decision is not None and one.decision.payments]
    if any(one.on_wall for one in moved):
        await rt.bell.ring("collect")
    on_clocks: dict[datetime, list[UUID]] = {}
    for one in moved:
        if not one.on_wall and one.decision is not None:
            due = [payment.id for payment in one.decision.payments if payment.due_at is not None]
            on_clocks.setdefault(one.at, []).extend(due)
    for at, only in on_clocks.items():
        await payments.collect_due(rt, now=at, only=only)


# ── one subscription ──────────────────────────────────────────────────────────────────────────────


def _verdict(
    account: Account, row: Row, wanted: Move, at: datetime, *, only_looks: bool = False
) -> Verdict:
    """What becomes of a subscription. What is due on it is not looked at: that comes first."""
    sub, on_wall = account.subscription, row["frozen_at"] is None
    try:
        if row["parked_at"] is not None:
            raise Conflict("It is parked.", code="subscription_parked")
        if row["clock_status"] == "advancing":
            raise Conflict("Its test clock advances.", code="test_clock_advancing")
        decision = migrating.decide(account, wanted, row["country"], at, new_id)
        effect = migrating.effect(account, wanted, decision)
    except ROW_FAULTS as error:
        return Verdict(_refused(sub.id, error), None, at, on_wall)
    if only_looks and _is_behind(row, at):
        effect = Effect(effect.before, effect.after)
    return Verdict(Looked(sub.id, effect), decision, at, on_wall)


def _refused(subscription_id: UUID, error: Exception) -> Looked:
    if isinstance(error, BillingError):
        return Looked(subscription_id, code=error.code, reason=error.message)
    logger.error("price_migration.undecidable", subscription=str(subscription_id), exc_info=error)
    return Looked(
        subscription_id,
        code="undecidable",
        reason="It cannot be decided; the log says why.",
    )


def _is_behind(row: Row, now: datetime) -> bool:
    due = row["next_action_at"]
    at = row["frozen_at"] or now
    return due is not None and due <= at and row["parked_at"] is None


def _by_time(found: Iterable[Row], now: datetime) -> Iterator[tuple[datetime, list[Row]]]:
    """The rows by what time it is for them: on the wall, or on their test clocks."""

    def time(row: Row) -> datetime:
        return row["frozen_at"] or now

    for at, group in groupby(sorted(found, key=time), key=time):
        yield at, list(group)


async def _accounts(tx: Tx, group: list[Row], at: datetime) -> list[tuple[Row, Account]]:
    return list(zip(group, await accounts.load(tx, group, at), strict=True))
