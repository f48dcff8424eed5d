"""The clock: whatever is due on a subscription happens, a chunk at a time, until nothing is due.

Load a chunk in a few set queries, decide each row in pure code, record all of it in the same few
statements, commit. A row that cannot be decided is parked with its reason; a chunk the database
refuses is halved down to the row that is at fault. Run it twice or late: every period is billed
once, by the row locks and by a unique key beneath them.

Where a tax engine's answer is missing the row stays due: the engine is asked between transactions,
and the row taken up again. While the engine is away it waits, not parked, for a later run.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app import log
from app.db import accounts, decisions, policies, redemptions, subscriptions
from app.db.base import Row, Tx
from app.db.errors import Refused
from app.db.scope import Scope
from app.db.subscriptions import But, CustomerDue
from app.domain.decision import Decision
from app.domain.errors import BillingError, Conflict, Stale
from app.domain.sharing import Shared
from app.domain.subscription import Status
from app.domain.tax_engine import Question, Unanswered
from app.runtime import Runtime
from app.services import billing_ahead, stepping, tax_prefetch

Key = tuple[UUID, UUID]

CUSTOMERS_MAX: Final = 250
"""Customers taken up at once where several subscriptions are billed together."""
CHUNKS_MAX: Final = 10_000
"""A run ends after this many chunks; the next one goes on where it stopped."""
ROW_FAULTS: Final = (
    *(BillingError, Refused),
    *(ArithmeticError, AssertionError, LookupError, TypeError, ValueError),
)
"""What one bad row can raise while it is read, decided or written. Anything else (a lost
connection, a full disk) is nobody's row and ends the run."""
LANES: Final = 2
"""Chunks in work at once: one is decided while the database writes the other."""
SLICE: Final = 20
"""Decisions made without a look at what else has happened: about a millisecond's worth."""
WALL: Final = Scope()
logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of the clock did."""

    steps: int = 0
    invoices: int = 0
    payments: int = 0
    parked: int = 0
    waiting: int = 0
    """Left due, because their merchants' tax engines are away."""
    unanswered: int = 0
    """Left due for the next chunk: their merchants' tax engines have been asked meanwhile."""

    @property
    def done(self) -> int:
        """How many subscriptions it moved, on or aside."""
        return self.steps + self.parked + self.waiting + self.unanswered

    def __add__(self, other: "Run") -> "Run":
        return Run(
            self.steps + other.steps,
            self.invoices + other.invoices,
            self.payments + other.payments,
            self.parked + other.parked,
            self.waiting + other.waiting,
            self.unanswered + other.unanswered,
        )


@dataclass(frozen=True, slots=True)
class Left:
    """What a run leaves due for the sake of tax engines, and what it takes up in another way."""

    waiting: set[UUID] = field(default_factory=set)
    """Subscriptions that this run does not take up again: their engine is away."""
    questions: dict[Question, None] = field(default_factory=dict)
    """What is to be asked before the next chunk."""
    together: tuple[UUID, ...] = ()
    """Merchants whose customers are taken up with all that is due on them at an instant."""

    def note(self, subscription_id: UUID, unanswered: Unanswered) -> Run:
        """A subscription that cannot be decided yet."""
        if unanswered.away is None:
            self.questions[unanswered.question] = None
            return Run(unanswered=1)
        self.waiting.add(subscription_id)
        logger.warning("clock.tax_engine_away", subscription=str(subscription_id))
        return Run(waiting=1)

    async def ask(self, rt: Runtime) -> None:
        """Ask what has come together."""
        if self.questions:
            asked = list(self.questions)
            self.questions.clear()
            await tax_prefetch.ask(rt, asked)


async def renew_due(
    rt: Runtime,
    scope: Scope = WALL,
    now: datetime | None = None,
    chunks_max: int = CHUNKS_MAX,
    lanes: int = LANES,
) -> Run:
    """Do everything that is due at `now` (None: the clock's now) on `scope`'s subscriptions."""
    now = now or rt.clock.now()
    async with rt.db.begin_system() as tx:
        left = Left(together=tuple(await policies.consolidating(tx)))
    size = rt.settings.chunk_size
    await tax_prefetch.prefetch_due(rt, now, timedelta(0), scope)
    total = await _chunk(rt, scope, now, size, None, left)
    if left.together:
        total += await _customers(rt, scope, now, left, chunks_max)
    if total.done:
        budget = iter(range(chunks_max - 1))
        needed = lanes if total.done >= size else 1
        runs = [_lane(rt, scope, now, budget, left) for _ in range(needed)]
        for ended in await asyncio.gather(*runs, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended
            total += ended
    early = await billing_ahead.run_due(rt, scope, now)
    total += Run(early.billed + early.taken_back, early.billed, early.billed)
    if total.payments and scope == WALL:
        await rt.bell.ring("collect")
    return total


async def _lane(rt: Runtime, scope: Scope, now: datetime, budget: Iterator[int], left: Left) -> Run:
    """One chunk after the other, until the budget ends or nothing due is left by other lanes."""
    total = Run()
    for _ in budget:
        run = await _chunk(rt, scope, now, rt.settings.chunk_size, None, left)
        if not run.done:
            break
        total += run
    return total


async def _chunk(
    rt: Runtime, scope: Scope, now: datetime, size: int, only: Sequence[UUID] | None, left: Left
) -> Run:
    """One chunk in one transaction; on refusal, its halves in one each."""
    rows: list[Row] = []
    try:
        async with rt.db.begin_system() as tx:
            rows = await subscriptions.claim_due(
                tx, scope, now, size, only, But(left.waiting, left.together)
            )
            run = await _step_all(tx, rows, now, left) if rows else Run()
    except ROW_FAULTS as error:
        if isinstance(error, Conflict) and error.code == "lock_timeout":
            logger.warning("clock.lock_timeout", rows=len(rows))
            return Run()
        if not rows:
            raise
        run = await _halve(rt, scope, now, rows, error, left)
    await left.ask(rt)
    return run


async def _customers(rt: Runtime, scope: Scope, now: datetime, left: Left, chunks_max: int) -> Run:
    """Customers of merchants that bill several subscriptions together, some at a time."""
    total, failed = Run(), set[UUID]()
    for _ in range(chunks_max):
        rows: dict[Key, list[Row]] = {}
        try:
            async with rt.db.begin_system() as tx:
                found = await subscriptions.claim_customers(
                    tx, scope, now, CUSTOMERS_MAX, left.together, left.waiting | failed
                )
                rows = await subscriptions.claim_of_customers(tx, scope, found)
                run = await _step_together(tx, rows, now)
        except ROW_FAULTS as error:
            if isinstance(error, Conflict) and error.code == "lock_timeout":
                logger.warning("clock.lock_timeout", rows=len(rows))
                break
            if not rows:
                raise
            # Whatever is at fault, and whatever taxes are asked for, is found one by one.
            run = await _one_customer_at_a_time(rt, scope, now, rows, left, failed)
        if not run.done:
            break
        total += run
    return total


async def _one_customer_at_a_time(
    rt: Runtime,
    scope: Scope,
    now: datetime,
    rows: Mapping[Key, Sequence[Row]],
    left: Left,
    failed: set[UUID],
) -> Run:
    """Each customer in a transaction of its own; one that cannot be decided together is billed as
    if its subscriptions were alone, so that only what is at fault is set aside. This run does not
    take up those again.
    """
    total = Run()
    for key, of in rows.items():
        due = [CustomerDue(*key, of[0]["next_action_at"])]
        try:
            async with rt.db.begin_system() as tx:
                locked = await subscriptions.claim_of_customers(tx, scope, due)
                total += await _step_together(tx, locked, now)
        except ROW_FAULTS:
            ids = [row["id"] for row in of]
            total += await _chunk(rt, scope, now, len(ids), ids, left)
            failed.update(ids)
    return total


async def _step_together(tx: Tx, rows: Mapping[Key, Sequence[Row]], now: datetime) -> Run:
    """One step of all that is due at an instant on each of these customers."""
    of = [row for some in rows.values() for row in some]
    if not of:
        return Run()
    loaded = {a.subscription.id: a for a in await accounts.load(tx, of)}
    decided: list[Decision] = []
    for some in rows.values():
        decided += stepping.together([loaded[row["id"]] for row in some], now)
    recorded = await decisions.record(tx, decided, now)
    await _release(tx, decided, now)
    return Run(len(of), recorded.invoices, recorded.payments)


async def _halve(
    rt: Runtime, scope: Scope, now: datetime, rows: Sequence[Row], error: Exception, left: Left
) -> Run:
    if isinstance(error, Unanswered) and (len(rows) == 1 or error.away is None):
        return left.note(rows[0]["id"], error)
    if len(rows) == 1:
        if isinstance(error, Stale):  # somebody was quicker, and nothing is wrong with the row
            return Run()
        key = (rows[0]["merchant_id"], rows[0]["id"])
        async with rt.db.begin_system() as tx:
            await _park(tx, key, error, now)
        return Run(parked=1)
    middle = len(rows) // 2
    first = [row["id"] for row in rows[:middle]]
    rest = [row["id"] for row in rows[middle:]]
    done = await _chunk(rt, scope, now, len(first), first, left)
    return done + await _chunk(rt, scope, now, len(rest), rest, left)


async def _step_all(tx: Tx, rows: Sequence[Row], now: datetime, left: Left) -> Run:
    loaded = await accounts.load(tx, rows)
    decided: list[Decision] = []
    parked, later, shared = 0, Run(), Shared()
    for place, account in enumerate(loaded):
        if place % SLICE == 0:
            await asyncio.sleep(0)
        sub = account.subscription
        try:
            account = shared.left_to(account)  # noqa: PLW2901  as it is by now
            decision = stepping.step(account, now)
        except Unanswered as error:
            later += left.note(sub.id, error)
            continue
        except Exception as error:
            await _park(tx, (sub.merchant_id, sub.id), error, now)
            parked += 1
            continue
        shared.note(account, decision)
        decided.append(decision)
    recorded = await decisions.record(tx, decided, now)
    await _release(tx, decided, now)
    return later + Run(len(decided), recorded.invoices, recorded.payments, parked)


async def _release(tx: Tx, decided: Sequence[Decision], now: datetime) -> None:
    """What subscriptions that never came to be had redeemed can be redeemed by others."""
    never = [
        (sub.merchant_id, sub.id)
        for decision in decided
        for sub in decision.subscriptions
        if sub.status is Status.INCOMPLETE_EXPIRED
    ]
    if never:
        await redemptions.release(tx, never, now)


async def _park(tx: Tx, key: tuple[UUID, UUID], error: Exception, now: datetime) -> None:
    reason = (
        error.message if isinstance(error, BillingError) else f"{type(error).__name__}: {error}"
    )
    logger.error("clock.parked", merchant=str(key[0]), subscription=str(key[1]), reason=reason)
    await subscriptions.park(tx, key, reason, now)
