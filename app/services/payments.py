"""Collecting what is due: write down the attempt, call the gateway, settle its answer.

Three steps and never a transaction across the call. The attempt is committed before the gateway
hears of it; whatever becomes of this process, the row is there to be looked up. Answers are
settled in groups as they arrive.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from app import ids, log
from app.db import accounts, decisions, payments
from app.db.base import Row, Tx
from app.db.errors import Refused
from app.db.scope import Scope
from app.domain import collection, settling
from app.domain.collection import SEND_LEASE, Bill
from app.domain.decision import Decision
from app.domain.errors import BillingError
from app.domain.ids import NewId
from app.domain.outcome import (
    Authorized,
    DeclineAdvice,
    DeclineCategory,
    Declined,
    DeclineInfo,
    DeclineReason,
    Found,
    NotExecuted,
    NotFound,
    Outcome,
    Unknown,
)
from app.domain.payment import Attempt, Payment, Status
from app.gateways.base import (
    AuthenticationError,
    ConfigurationError,
    Gateway,
    GatewayError,
    InvalidRequestError,
)
from app.gateways.capabilities import Capabilities, NativeKey
from app.gateways.requests import CaptureRequest, ChargeRequest, PaymentQuery
from app.gateways.requests import Sequence as ChargeSequence
from app.ids import new_id
from app.runtime import Runtime
from app.services.opening import open_account

CHUNK: Final = 500
"""Attempts committed at once, at most: few to look up after a crash."""
WAVES: Final = 10
"""Attempts committed at once, in calls that a place in flight has to make one after another."""
CHUNKS_MAX: Final = 10_000
SETTLE_MAX: Final = 200
"""Answers settled in one transaction."""
LINGER_SECONDS: Final = 0.02
"""How long an answer waits for others to be settled with, while there are any under way."""
SEND_WITHIN: Final = timedelta(seconds=60)
"""A call that has not begun by then is not made: whoever looks it up later may rely on that."""
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
    total = Collected()
    for _ in range(CHUNKS_MAX):
        at = now or rt.clock.now()
        calls, more = await _begin(rt, scope, at, only)
        if calls:
            total += await _send_all(rt, calls, at)
        if not more or only is not None:
            break
    return total


async def _begin(
    rt: Runtime, scope: Scope, now: datetime, only: Sequence[UUID] | None
) -> tuple[list[Call], bool]:
    """Claim due payments and commit an attempt for each that can be tried; are there more?"""
    async with rt.db.begin_system() as tx:
        limit = min(CHUNK, WAVES * rt.settings.charges_in_flight)
        due = await payments.claim_due(tx, scope, now, limit, only)
        if not due:
            return [], False
        bills = await payments.load_bills(tx, due)
        methods = await payments.methods(
            tx, [(p.merchant_id, p.payment_method_id) for p in due if p.payment_method_id]
        )
        decided: list[Decision] = []
        calls: list[Call] = []
        for bill in bills:
            decision, call = _attempt(rt, bill, methods, now)
            decided.append(decision)
            if call is not None:
                calls.append(call)
        await decisions.record(tx, decided, now)
    return calls, len(due) == limit


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
        return _postponed(payment, now), None
    attempt = decision.attempts[0]
    return decision, Call(attempt, gateway, charge_request(attempt, bill.invoice.number, method))


def _postponed(payment: Payment, now: datetime) -> Decision:
    later = replace(payment, due_at=now + POSTPONE, version=payment.version + 1)
    return Decision(payment.merchant_id, payments=(later,))


def reference(attempt_id: UUID) -> str:
    """Our name for an attempt at its gateway: 20 characters, short enough for every gateway.

    The last 100 bits of the id, which hold all of its random ones.
    """
    return ids.show("x", attempt_id)[-20:]


def charge_request(attempt: Attempt, number: str | None, method: Row) -> ChargeRequest:
    """The request of an attempt: the same attempt makes the same bytes, however often."""
    return ChargeRequest(
        attempt_code=attempt.reference,
        idempotency_key=attempt.idempotency_key,
        amount_minor=attempt.amount,
        currency=attempt.currency,
        payment_method_reference=method["gateway_reference"],
        customer_reference=method["gateway_customer_reference"],
        invoice_number=number or "",
        description=f"Invoice {number}",
        sequence=ChargeSequence.SUBSEQUENT
        if method["network_transaction_id"]
        else ChargeSequence.INITIAL,
    )


def query_of(attempt: Attempt, method: Row) -> PaymentQuery:
    """How an attempt is looked for: by our reference, with all that may narrow the search."""
    return PaymentQuery(
        reference=attempt.reference,
        created_at=attempt.created_at,
        gateway_reference=attempt.gateway_reference,
        customer_reference=method["gateway_customer_reference"],
        payment_method_reference=method["gateway_reference"],
        amount_minor=attempt.amount,
        currency=attempt.currency,
    )


async def _send_all(rt: Runtime, calls: Sequence[Call], now: datetime) -> Collected:
    """Send the calls, so many at once, and settle answers in groups while others are under way."""
    answers: asyncio.Queue[tuple[Attempt, Outcome]] = asyncio.Queue()
    places = asyncio.Semaphore(rt.settings.charges_in_flight)
    begun = rt.clock.now()

    async def send(call: Call) -> None:
        async with places:
            late = rt.clock.now() - begun > SEND_WITHIN
            outcome = TOO_LATE if late else await charge(call.gateway, call.request)
        answers.put_nowait((call.attempt, outcome))

    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(send(call))
        settled = group.create_task(_settle_arriving(rt, answers, len(calls), now))
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


async def charge(gateway: Gateway, request: ChargeRequest, *, again: bool = False) -> Outcome:
    """One call; what no retry will mend becomes a value too.

    A repetition (`again`) that is refused says nothing about the call before it.
    """
    try:
        return await gateway.charge(request)
    except InvalidRequestError as error:
        logger.error("collect.invalid_request", gateway=gateway.name, reason=str(error))
        if again:
            return NotExecuted("invalid_request")
        return Declined(
            DeclineInfo(
                DeclineCategory.CONFIGURATION,
                DeclineReason.PROCESSING_ERROR,
                error.code or "invalid_request",
                DeclineAdvice.RETRY_LATER,
            )
        )
    except AuthenticationError as error:
        logger.error("collect.credentials_refused", gateway=gateway.name, reason=str(error))
        return NotExecuted("credentials_refused")
    except Exception as error:
        # A fault in an adapter says nothing about the money: the outcome is not known.
        logger.exception("collect.adapter_fault", gateway=gateway.name)
        return Unknown(f"adapter_fault_{type(error).__name__}")


async def capture(gateway: Gateway, attempt: Attempt, held: Authorized) -> Outcome:
    """Take what is held for an attempt; never more than it, however often this is asked."""
    if (held.amount_minor, held.currency) != (attempt.amount, attempt.currency):
        return held
    request = CaptureRequest(
        idempotency_key=f"{attempt.idempotency_key}-capture",
        payment_reference=held.gateway_reference,
        amount_minor=attempt.amount,
        currency=attempt.currency,
    )
    try:
        return await gateway.capture(request)
    except GatewayError as error:
        # It is held all the same: the next look-up says what became of it.
        logger.error("collect.not_captured", gateway=gateway.name, reason=str(error))
        return held
    except Exception as error:
        logger.exception("collect.adapter_fault", gateway=gateway.name)
        return Unknown(f"adapter_fault_{type(error).__name__}", held.gateway_reference)


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
    await decisions.record(tx, decided, now)
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


async def resolve_due(rt: Runtime, scope: Scope = WALL, now: datetime | None = None) -> int:
    """Find out about attempts that are in flight for too long; the number looked into.

    As many at a time as may be in flight, so that none waits until its lease is over.
    """
    looked, limit = 0, min(SETTLE_MAX, rt.settings.charges_in_flight)
    for _ in range(CHUNKS_MAX):
        at = now or rt.clock.now()
        async with rt.db.begin_system() as tx:
            attempts = await payments.claim_look_ups(tx, scope, at, at + SEND_LEASE, limit)
            # A method detached since, or an account closed, must not hide what became of a charge.
            methods = await payments.methods(
                tx, [(a.merchant_id, a.payment_method_id) for a in attempts], usable=False
            )
        if not attempts:
            break
        places = asyncio.Semaphore(rt.settings.charges_in_flight)
        async with asyncio.TaskGroup() as group:
            for attempt in attempts:
                method = methods.get((attempt.merchant_id, attempt.payment_method_id))
                group.create_task(_resolve(rt, attempt, method, places, at))
        looked += len(attempts)
    return looked


async def _resolve(
    rt: Runtime, attempt: Attempt, method: Row | None, places: asyncio.Semaphore, now: datetime
) -> None:
    """Look one attempt up; a fault in it is logged, and the lease brings it back."""
    try:
        await _find_out(rt, attempt, method, places, now)
    except Exception:
        logger.exception("resolve.fault", attempt=str(attempt.id))


async def _find_out(
    rt: Runtime, attempt: Attempt, method: Row | None, places: asyncio.Semaphore, now: datetime
) -> None:
    """Ask the gateway; repeat the call only where its key makes that safe; else wait."""
    if method is None:
        await _record_alone(rt, attempt, "the payment method or account is gone", now)
        return
    gateway = open_account(rt, method)
    async with places:
        found = await gateway.find_payment(query_of(attempt, method))
    age = int((now - attempt.created_at).total_seconds())
    capabilities = gateway.capabilities
    match found:
        case Found(outcome=outcome, others=others):
            if isinstance(outcome, Authorized):
                async with places:
                    outcome = await capture(gateway, attempt, outcome)
            await settle_all(rt, [(attempt, outcome)], now)
            if others:
                logger.error("collect.charged_twice", attempt=str(attempt.id), others=others)
                await _review(rt, attempt, f"the gateway has it more than once: {others}")
        case NotFound() if _may_repeat(capabilities, age):
            # The same key is safe even if the first call is still under way; a new one is not.
            request = charge_request(attempt, await _number(rt, attempt), method)
            async with places:
                outcome = await charge(gateway, request, again=True)
            await settle_all(rt, [(attempt, outcome)], now)
        case NotFound(definitive=True) if capabilities.absence_is_proof(age - SEND_WITHIN.seconds):
            await _record_alone(rt, attempt, None, now)
        case NotFound():
            await _record_alone(rt, attempt, "the gateway does not show it yet", now)
        case _:
            await _record_alone(rt, attempt, f"look-up failed: {found.cause}", now)


def _may_repeat(capabilities: Capabilities, age: int) -> bool:
    key = capabilities.charge_repeatability
    return isinstance(key, NativeKey) and key.covers(age)


async def _review(rt: Runtime, attempt: Attempt, cause: str) -> None:
    """Leave word for a person, whatever became of the attempt."""
    async with rt.db.begin_system() as tx:
        [(fresh, _)] = await payments.lock_attempts(tx, [(attempt.merchant_id, attempt.id)])
        await decisions.record(tx, [settling.review(fresh, cause)], rt.clock.now())


async def _record_alone(rt: Runtime, attempt: Attempt, detail: str | None, now: datetime) -> None:
    """Note that nothing was learned; without a detail: that it was never executed."""
    async with rt.db.begin_system() as tx:
        [(fresh, payment)] = await payments.lock_attempts(tx, [(attempt.merchant_id, attempt.id)])
        if fresh.look_up_at is None:
            return
        [bill] = await payments.load_bills(tx, [payment])
        if detail is None and fresh.gateway_reference is not None:
            detail = f"the gateway does not know its own {fresh.gateway_reference} any more"
        if detail is None:
            decision = settling.never_executed(replace(bill, attempt=fresh), now)
        else:
            decision = settling.look_again(fresh, detail, now)
        await decisions.record(tx, [decision], now)


async def _number(rt: Runtime, attempt: Attempt) -> str | None:
    async with rt.db.begin_system() as tx:
        [(_, payment)] = await payments.lock_attempts(tx, [(attempt.merchant_id, attempt.id)])
        [bill] = await payments.load_bills(tx, [payment])
    return bill.invoice.number
