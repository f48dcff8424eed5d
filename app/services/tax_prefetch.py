"""Asking tax engines before anything is billed by what they say, and keeping what they said.

The clock and requests decide inside transactions, where nobody is asked: they find an answer, or
they say which one is missing. Here it is asked for, outside any transaction, in batches.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from app import log
from app.db import tax_engine_rates, tax_engines, taxes
from app.db.base import Row
from app.db.scope import Scope
from app.db.tax_engine_rates import Told
from app.domain.errors import BillingError
from app.domain.tax_engine import (
    RETRY_SECONDS,
    EngineTaxation,
    Failure,
    FailureKind,
    Question,
    Unanswered,
)
from app.ids import new_id
from app.runtime import Runtime
from app.services.tax_engines import opened
from app.taxes.engine import TaxEngine

HORIZON: Final = timedelta(days=1)
"""How far ahead of a renewal its taxes are asked for: an engine may be away for most of a day."""
DUE_MAX: Final = 5_000
"""What is looked at in one go; the next sweep looks further."""
MERCHANTS_AT_ONCE: Final = 4
ROUNDS_MAX: Final = 20
"""Answers that one request may turn out to need, one after the other; then it is tried again."""
EXPIRED_CHUNK: Final = 5_000
WALL: Final = Scope()
logger = log.get(__name__)
Result = TypeVar("Result")


async def prefetch_due(
    rt: Runtime, now: datetime | None = None, horizon: timedelta = HORIZON, scope: Scope = WALL
) -> int:
    """Ask for what bills due within the horizon will depend on; how many answers were missing.

    Guesses the products and the days; a bill that needs another answer says so when it is made.
    """
    now = now or rt.clock.now()
    async with rt.db.begin_system() as tx:
        await tax_engine_rates.forget_expired(tx, rt.clock.now(), EXPIRED_CHUNK)
        due = await tax_engine_rates.due(tx, scope, now + horizon, DUE_MAX)
        if not due:
            return 0
        customers = {(row["merchant_id"], row["customer_id"]) for row in due}
        found = await taxes.load(tx, list(customers))
    missing: dict[Question, None] = {}
    for row in due:
        taxation = found[row["merchant_id"], row["customer_id"]]
        if isinstance(taxation, EngineTaxation):
            question = taxation.question(row["tax_code"], row["at"] or now)
            if question is not None:
                missing[question] = None
    await ask(rt, missing)
    return len(missing)


async def ask(rt: Runtime, questions: Collection[Question]) -> None:
    """Ask each question of its merchant's engine, and keep what comes of it."""
    by_merchant: dict[UUID, list[Question]] = defaultdict(list)
    for question in questions:
        by_merchant[question.subject.merchant_id].append(question)
    if not by_merchant:
        return
    async with rt.db.begin_system() as tx:
        engines = await tax_engines.some(tx, list(by_merchant))
    turns = asyncio.Semaphore(MERCHANTS_AT_ONCE)

    async def ask_one(row: Row) -> None:
        async with turns:
            await _ask(rt, row, by_merchant[row["merchant_id"]])

    async with asyncio.TaskGroup() as group:
        for row in engines.values():
            group.create_task(ask_one(row))


async def answered(rt: Runtime, act: Callable[[], Awaitable[Result]]) -> Result:
    """What `act` comes to, once the answers that it depends on are there.

    It must leave nothing behind when it raises Unanswered: it is done again. Raises Unanswered
    where the engine is away.
    """
    for _ in range(ROUNDS_MAX):
        try:
            return await act()
        except Unanswered as error:
            if error.away is not None and error.away.until > rt.clock.now():
                raise
            await ask(rt, [error.question])
    return await act()


async def _ask(rt: Runtime, row: Row, questions: Sequence[Question]) -> None:
    merchant_id: UUID = row["merchant_id"]
    try:
        engine = opened(rt, merchant_id, row)
    except BillingError as error:
        refused = Failure(FailureKind.REFUSED, error.code)
        await _keep(rt, row, [(question, refused) for question in questions])
        return
    turns = asyncio.Semaphore(engine.capabilities.calls_max)
    batches = _batches(questions, engine.capabilities.questions_max)
    try:
        async with asyncio.TaskGroup() as group:
            for batch in batches:
                group.create_task(_call(rt, row, engine, batch, turns))
    finally:
        await engine.aclose()


async def _call(
    rt: Runtime,
    row: Row,
    engine: TaxEngine,
    batch: Sequence[Question],
    turns: asyncio.Semaphore,
) -> None:
    async with turns:
        said = await engine.rates(batch)
    await _keep(rt, row, list(zip(batch, said, strict=True)))


async def _keep(rt: Runtime, row: Row, told: Sequence[Told]) -> None:
    merchant_id, now = row["merchant_id"], rt.clock.now()
    failures = [said for _, said in told if isinstance(said, Failure)]
    if failures:
        logger.warning(
            "tax_engine.failed",
            merchant=str(merchant_id),
            kind=failures[0].kind,
            detail=failures[0].detail,
            questions=len(failures),
        )
    until = (
        now + timedelta(seconds=row["ttl_seconds"]),
        now + timedelta(seconds=RETRY_SECONDS),
    )
    async with rt.db.begin(merchant_id) as tx:
        await tax_engine_rates.keep(tx, merchant_id, told, now, until, new_id)


def _batches(questions: Sequence[Question], size: int) -> Iterator[Sequence[Question]]:
    for start in range(0, len(questions), size):
        yield questions[start : start + size]
