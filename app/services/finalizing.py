"""The end of grace: drafts that are due become final, a chunk at a time, until none is left.

As with renewals: a chunk is loaded, decided and recorded in a few statements. A draft that cannot
be decided is parked with its reason; a chunk the database refuses is halved down to the one that
is at fault. Run it twice or late: a draft becomes final once, by its row's lock and version.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app import log
from app.db import decisions, drafts
from app.db.base import Row, Tx
from app.db.scope import Scope
from app.domain import finalizing
from app.domain.decision import Decision
from app.domain.errors import BillingError, Conflict, Stale
from app.ids import new_id
from app.runtime import Runtime
from app.services.renewals import ROW_FAULTS

CHUNKS_MAX: Final = 10_000
"""A run ends after this many chunks; the next one goes on where it stopped."""
WALL: Final = Scope()
logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run did: drafts that became final, payments that were scheduled, drafts set aside."""

    finalized: int = 0
    payments: int = 0
    parked: int = 0

    def __add__(self, other: "Run") -> "Run":
        return Run(
            self.finalized + other.finalized,
            self.payments + other.payments,
            self.parked + other.parked,
        )


async def finalize_due(rt: Runtime, scope: Scope = WALL, now: datetime | None = None) -> Run:
    """Finalize every draft of `scope` whose time has come at `now` (None: the clock's now)."""
    now = now or rt.clock.now()
    total = Run()
    for _ in range(CHUNKS_MAX):
        run = await _chunk(rt, scope, now, rt.settings.chunk_size, None)
        if run == Run():
            break
        total += run
    if total.payments and scope == WALL:
        await rt.bell.ring("collect")
    return total


async def _chunk(
    rt: Runtime, scope: Scope, now: datetime, size: int, only: Sequence[UUID] | None
) -> Run:
    """One chunk in one transaction; on refusal, its halves in one each."""
    rows: list[Row] = []
    try:
        async with rt.db.begin_system() as tx:
            rows = await drafts.claim_due(tx, scope, now, size, only)
            return await _finalize_all(tx, rows, now) if rows else Run()
    except ROW_FAULTS as error:
        if isinstance(error, Conflict) and error.code == "lock_timeout":
            logger.warning("finalize.lock_timeout", rows=len(rows))
            return Run()
        if not rows:
            raise
        return await _halve(rt, scope, now, rows, error)


async def _halve(
    rt: Runtime, scope: Scope, now: datetime, rows: Sequence[Row], error: Exception
) -> Run:
    if len(rows) == 1:
        if isinstance(error, Stale):  # somebody was quicker, and nothing is wrong with the row
            return Run()
        async with rt.db.begin_system() as tx:
            await _park(tx, (rows[0]["merchant_id"], rows[0]["id"]), error, now)
        return Run(parked=1)
    middle = len(rows) // 2
    first = [row["id"] for row in rows[:middle]]
    rest = [row["id"] for row in rows[middle:]]
    done = await _chunk(rt, scope, now, len(first), first)
    return done + await _chunk(rt, scope, now, len(rest), rest)


async def _finalize_all(tx: Tx, rows: Sequence[Row], now: datetime) -> Run:
    decided: list[Decision] = []
    parked = 0
    left: dict[tuple[UUID, str], int] = {}
    for loaded in await drafts.load(tx, rows):
        order = loaded.invoice.order
        draft = drafts.spent(loaded, left.get((order.customer_id, order.currency)))
        try:
            decision = finalizing.finalize(draft, now, new_id)
        except Exception as error:
            await _park(tx, (order.merchant_id, draft.invoice.id), error, now)
            parked += 1
            continue
        for entry in decision.balances:
            left[entry.customer_id, entry.currency] = entry.ending
        decided.append(decision)
    recorded = await decisions.record(tx, decided, now)
    return Run(len(decided), recorded.payments, parked)


async def _park(tx: Tx, key: tuple[UUID, UUID], error: Exception, now: datetime) -> None:
    reason = (
        error.message if isinstance(error, BillingError) else f"{type(error).__name__}: {error}"
    )
    logger.error("finalize.parked", merchant=str(key[0]), invoice=str(key[1]), reason=reason)
    await drafts.park(tx, key, reason, now)
