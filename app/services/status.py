"""How the work stands, for whoever runs the service: due, late, in flight, parked, in question."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app import ids
from app.db import status as rows
from app.db.base import Row
from app.runtime import Runtime
from app.services import (
    dunning,
    finalizing,
    inbox_settling,
    kept_methods,
    look_ups,
    payments,
    price_moves,
    refunds,
    renewals,
    setup_calls,
    test_clocks,
)

PARKED: Final = {
    "subscription": "sub",
    "invoice": "inv",
    "inbound event": "ine",
    "dunning": "dun",
}
WAITING: Final = {"payment": "att", "refund": "re", "postponed payment": "pay"}


@dataclass(frozen=True, slots=True)
class Queue:
    """What of one kind is due; `overdue` is what has been due for more than ten minutes."""

    name: str
    due: int
    overdue: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Named:
    """One thing that needs looking at, by its public id, and why."""

    id: str
    kind: str
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Listed:
    """The first few of what needs looking at, and how many there are."""

    count: int
    first: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one instant."""

    at: datetime
    queues: tuple[Queue, ...]
    in_flight: tuple[tuple[str, str, int], ...]
    """(payment or refund, its status, how many)."""
    parked: Listed
    awaiting_review: Listed
    clocks: Listed


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one sweep did."""

    steps: int
    invoices: int
    parked: int
    finalized: int
    attempts: int
    succeeded: int
    looked_up: int
    clocks: int


async def look(rt: Runtime, merchant_id: UUID | None = None) -> Status:
    """How the work stands now, of one merchant or of all."""
    now = rt.clock.now()
    async with rt.db.begin_system() as tx:
        queues = []
        for queue in rows.QUEUES:
            found = await rows.due(tx, queue, now, merchant_id)
            queues.append(Queue(queue.name, found["due"], found["overdue"], found["oldest"]))
        flying = await rows.in_flight(tx, merchant_id)
        parked = await rows.parked(tx, merchant_id)
        waiting = await rows.awaiting_review(tx, merchant_id)
        clocks = await rows.moving_clocks(tx, merchant_id)
    return Status(
        now,
        tuple(queues),
        tuple((row["kind"], row["status"], row["n"]) for row in flying),
        _listed(parked, PARKED),
        _listed(waiting, WAITING),
        _listed(clocks, {"": "clock"}),
    )


async def sweep(rt: Runtime) -> Sweep:
    """Do once what the workers' timetable does: everything that is due now."""
    ran = await renewals.renew_due(rt)
    final = await finalizing.finalize_due(rt)
    collected = await payments.collect_due(rt)
    dunned = await dunning.look_due(rt) + await dunning.look_on_test_clocks(rt)
    if dunned.looked:
        collected += await payments.collect_due(rt)
    looked = await look_ups.resolve_due(rt) + await refunds.resolve_due(rt)
    clocks = await test_clocks.advance_all(rt)
    await price_moves.run_due(rt)
    await inbox_settling.settle_due(rt)
    await setup_calls.settle_due(rt)
    await kept_methods.detach_due(rt)
    return Sweep(
        ran.steps,
        ran.invoices,
        ran.parked + final.parked + dunned.parked,
        final.finalized,
        collected.attempts,
        collected.succeeded,
        looked,
        clocks,
    )


def _listed(found: list[Row], prefixes: dict[str, str]) -> Listed:
    named = []
    for row in found:
        kind = row.get("kind", "")
        prefix = prefixes[kind]
        named.append(
            Named(ids.show(prefix, row["id"]), kind or prefix, row["since"], row["reason"] or "")
        )
    return Listed(found[0]["n"] if found else 0, tuple(named))
