"""Collecting what is due: write down the attempt, call the gateway, settle its answer.

Three steps and never a transaction across the call. The attempt is committed before the gateway
hears of it; whatever becomes of this process, the row is there to be looked up. Answers are
settled in groups as they arrive.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from app import ids, log
from app.db import accounts, decisions, dunning, payments, sends
from app.db.base import Row, Tx
from app.db.errors import Refused
from app.db.scope import Scope
from app.domain import collection, dunning_following, settling
from app.domain.collection import Bill
from app.domain.decision import Decision
from app.domain.dunning_following import Known
from app.domain.errors import BillingError
from app.domain.ids import NewId
from app.domain.outcome import (
    Declined,
    NotExecuted,
    Outcome,
)
from app.domain.payment import Attempt, AttemptStatus, Payment, Status
from app.gateways.base import (
    ConfigurationError,
    Gateway,
)
from app.gateways.pace import WAIT_SECONDS_MAX
from app.gateways.requests import ChargeRequest
from app.ids import new_id
from app.runtime import Runtime
from app.services import charging, payment_links
from app.services.opening import open_account

CHUNK: Final = 500
"""Attempts committed at once, at most: few to look up after a crash."""
WAVES: Final = 10
"""Attempts committed and not yet sent, at most, in calls that a place in flight has to make one
after another.
"""
LANES: Final = 3
"""Chunks in work at once: one is begun, one is under way, one is being settled."""
CHUNKS_MAX: Final = 10_000
SETTLE_MAX: Final = 200
"""Answers settled in one transaction."""
LINGER_SECONDS: Final = 0.1
"""How long an answer waits for others to be settled with, while there are any under way."""
SEND_WITHIN: Final = timedelta(seconds=60)
"""A request that has not left by then is not sent: whoever looks it up later may rely on that."""
BEGIN_WITHIN: Final = SEND_WITHIN - timedelta(seconds=2 * WAIT_SECONDS_MAX)
"""A call that has not begun by then is not made: it may wait for a place, and for its turn."""
POSTPONE: Final = timedelta(hours=1)
TOO_LATE: Final = NotExecuted("the gateway was too slow for the calls before it")
WALL: Final = Scope()
Settle: TypeAlias = Callable[[Bill, Outcome, datetime, NewId], Decision]
logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """An attempt that is written down, with the open gateway and the request to send."""

    attempt: Attempt
    gateway: Gateway
    request: ChargeRequest


@dataclass(frozen=True, slots=True)
class Collected:
    """What a run of collection did."""

    attempts: int = 0
    succeeded: int = 0

    def __add__(self, other: "Collected") -> "Collected":
        return Collected(self.attempts + other.attempts, self.succeeded + other.succeeded)


async def collect_due(
    rt: Runtime,
    scope: Scope = WALL,
    now: datetime | None = None,
    only: Sequence[UUID] | None = None,
) -> Collected:
    """Attempt every payment that is due at `now`, or just those in `only`.

    Without `now` the clock is read for each chunk: an attempt that bears an older time than its
    call would be taken for lost while it is still being sent.
    """
    in_flight = rt.settings.charges_in_flight
    together = WAVES * in_flight if only is not None else max(1, WAVES * in_flight // LANES)
    run = Run(rt, scope, now, only, asyncio.Semaphore(in_flight), min(CHUNK, together))
    begun = await _next(run)
    if not begun.more:
        return await _send(run, begun)
    lanes = [_lane(run, begun), *(_lane(run) for _ in range(LANES - 1))]
    total = Collected()
    for ran in await asyncio.gather(*lanes, return_exceptions=True):
        if isinstance(ran, BaseException):  # what fails in one lane does not end others' calls
            raise ran
        total += ran
    return total


@dataclass(frozen=True, slots=True)
class Begun:
    """A chunk of attempts that is committed at `at`, and whether there is more to do.

    `since` is before they were written down: whoever looks them up counts from then.
    """

    at: datetime
    since: datetime
    calls: Sequence[Call]
    more: bool


@dataclass(frozen=True, slots=True)
class Run:
    """One run of collection: lanes that share the places in flight, each a chunk after the other.

    While one lane commits its next attempts, or settles its last answers, the calls of the others
    are under way.
    """

    rt: Runtime
    scope: Scope
    now: datetime | None
    only: Sequence[UUID] | None
    places: asyncio.Semaphore
    limit: int
    """Attempts in a chunk, at most."""


async def _next(run: Run) -> Begun:
    """The next chunk, committed."""
    since = run.rt.clock.now()
    at = run.now or since
    calls, taken = await _begin(run.rt, run.scope, at, run.limit, run.only)
    return Begun(at, since, calls, taken == run.limit and run.only is None)


async def _send(run: Run, begun: Begun) -> Collected:
    """The chunk's calls, made and settled."""
    if not begun.calls:
        return Collected()
    return await _send_all(run.rt, begun, run.places)


async def _lane(run: Run, begun: Begun | None = None) -> Collected:
    """Chunk after chunk, until there is no more."""
    total = Collected()
    for _ in range(CHUNKS_MAX):
        begun = begun or await _next(run)
        total += await _send(run, begun)
        if not begun.more:
            break
        begun = None
    return total


async def _begin(
    rt: Runtime, scope: Scope, now: datetime, limit: int, only: Sequence[UUID] | None
) -> tuple[list[Call], int]:
    """Claim due payments and commit an attempt for each that can be tried; how many were due."""
    async with rt.db.begin_system() as tx:
        due = await payments.claim_due(tx, scope, now, limit, only)
        if not due:
            return [], 0
        bills = await payments.load_bills(tx, due)
        methods = await payments.methods(
            tx, [(p.merchant_id, p.payment_method_id) for p in due if p.payment_method_id]
        )
        # What somebody asks for just now is tried, whatever is known of the method.
        known = await dunning.planned(tx, _in_question(due, methods), now) if only is None else {}
        decided: list[Decision] = []
        calls: list[Call] = []
        asked: Counter[tuple[UUID | None, int, str]] = Counter()
        for bill in bills:
            payment = bill.payment
            same = payment.payment_method_id, payment.amount, payment.currency
            if _is_held_back(known.get(payment.id), payment, asked[same], now):
                decided.append(collection.hold_back(payment))
                continue
            asked[same] += 1
            decision, call = _attempt(rt, bill, methods, now)
            decided.append(decision)
            if call is not None:
                calls.append(call)
        await decisions.record(tx, decided, now)
    return calls, len(due)


def _in_question(due: Sequence[Payment], methods: dict[tuple[UUID, UUID], Row]) -> list[Payment]:
    """Those that were tried before, or whose method said that it will not work again."""
    found = []
    for payment in due:
        assert payment.payment_method_id is not None
        method = methods.get((payment.merchant_id, payment.payment_method_id))
        if payment.attempt_count or (method is not None and method["refused_at"] is not None):
            found.append(payment)
    return found


def _is_held_back(known: Known | None, payment: Payment, also: int, now: datetime) -> bool:
    if known is None or payment.payment_method_id is None:
        return False
    return dunning_following.is_held_back(known, payment.payment_method_id, now, also)


def _attempt(
    rt: Runtime, bill: Bill, methods: dict[tuple[UUID, UUID], Row], now: datetime
) -> tuple[Decision, Call | None]:
    payment = bill.payment
    assert payment.payment_method_id is not None
    method = methods.get((payment.merchant_id, payment.payment_method_id))
    if method is None:
        return collection.wait_for_method(payment), None
    try:
        gateway = open_account(rt, method)
        decision = collection.begin(
            bill, (method["id"], method["gateway_account_id"]), now, new_id, reference
        )
    except (BillingError, ConfigurationError) as error:
        logger.error("collect.postponed", payment=str(payment.id), reason=str(error))
        return collection.postpone(payment, now + POSTPONE, str(error)), None
    promised = collection.promised_at(bill.invoice, now)
    if promised is not None:
        if not gateway.capabilities.lead_time_seconds(method["type"], payment.currency):
            return collection.wait_until(payment, promised), None
        if payment.test_clock_id is not None:
            promised = None  # the gateway knows nothing of that clock
    [attempt] = decision.attempts
    request = charging.first_request(attempt, bill, method, promised)
    written = replace(attempt, request=charging.frozen(request))
    return replace(decision, attempts=(written,)), Call(written, gateway, request)


def reference(attempt_id: UUID) -> str:
    """Our name for an attempt at its gateway: 20 characters, short enough for every gateway.

    The last 100 bits of the id, which hold all of its random ones.
    """
    return ids.show("x", attempt_id)[-20:]


async def _send_all(rt: Runtime, begun: Begun, places: asyncio.Semaphore) -> Collected:
    """Send the calls as places get free; settle answers in groups while others are under way."""
    answers: asyncio.Queue[tuple[Attempt, Outcome]] = asyncio.Queue()

    async def send(call: Call) -> None:
        async with places:
            late = rt.clock.now() - begun.since > BEGIN_WITHIN
            outcome = TOO_LATE if late else await charging.charge(call.gateway, call.request)
        answers.put_nowait((call.attempt, outcome))

    async with asyncio.TaskGroup() as group:
        for call in begun.calls:
            group.create_task(send(call))
        settled = group.create_task(_settle_arriving(rt, answers, len(begun.calls), begun.at))
    return settled.result()


async def _settle_arriving(
    rt: Runtime, answers: "asyncio.Queue[tuple[Attempt, Outcome]]", expected: int, now: datetime
) -> Collected:
    total = Collected()
    while expected:
        group = [await answers.get()]
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while len(group) < min(expected, SETTLE_MAX):
                    group.append(await answers.get())
        expected -= len(group)
        total += await settle_all(rt, group, now)
    return total


async def settle_all(
    rt: Runtime,
    answers: Sequence[tuple[Attempt, Outcome]],
    now: datetime,
    *,
    heard: bool = False,
) -> Collected:
    """Settle a group of answers in one transaction; one by one if that is refused.

    An answer that cannot be settled even alone stays in flight and is looked up again later.
    `heard`: the gateway told it by itself.
    """
    try:
        async with rt.db.begin_system() as tx:
            return await _settle(tx, answers, now, settling.heard if heard else settling.settle)
    except (BillingError, Refused) as error:
        if len(answers) == 1:
            attempt = answers[0][0]
            logger.error("collect.unsettled", attempt=str(attempt.id), reason=str(error))
            return Collected(attempts=1)
    total = Collected()
    for answer in answers:
        total += await settle_all(rt, [answer], now, heard=heard)
    return total


async def _settle(
    tx: Tx, answers: Sequence[tuple[Attempt, Outcome]], now: datetime, settle: Settle
) -> Collected:
    outcomes = {(a.merchant_id, a.id): outcome for a, outcome in answers}
    declined = [key for key, outcome in outcomes.items() if isinstance(outcome, Declined)]
    concerned = await payments.subscriptions_to_settle(tx, list(outcomes), declined)
    subs = await accounts.load_many(tx, [one for some in concerned.values() for one in some])
    pairs = await payments.lock_attempts(tx, list(outcomes))
    bills = await payments.load_bills(tx, [payment for _, payment in pairs])
    decided = []
    for (attempt, _), bill in zip(pairs, bills, strict=True):
        key = (attempt.merchant_id, attempt.id)
        about = tuple(subs[one] for one in concerned.get(key, ()))
        whole = Bill(bill.invoice, bill.payment, attempt, about)
        decision = _decide(whole, attempt, outcomes[key], now, settle)
        subs |= {(sub.merchant_id, sub.id): sub for sub in decision.subscriptions}
        decided.append(decision)
    decided = await payment_links.hosted(tx, decided, now)
    await decisions.record(tx, decided, now)
    settled = (attempt for decision in decided for attempt in decision.attempts)
    paid = [attempt for attempt in settled if attempt.status is AttemptStatus.SUCCEEDED]
    await sends.keep_network_ids(tx, paid)
    await sends.accept_again(tx, paid)
    succeeded = sum(payment.status is Status.SUCCEEDED for d in decided for payment in d.payments)
    return Collected(len(answers), succeeded)


def _decide(
    bill: Bill, attempt: Attempt, outcome: Outcome, now: datetime, settle: Settle
) -> Decision:
    """What follows from an answer; one that makes no sense must not hold up the others."""
    try:
        return settle(bill, outcome, now, new_id)
    except Exception as error:
        logger.exception("collect.unsettled", attempt=str(attempt.id))
        return settling.look_again(attempt, f"it cannot be settled: {error}", now)
