"""Finding out: what became of attempts whose answer did not come, or has yet to be decided.

Ask first. What is found is settled; what is held is captured; what nobody waits for any more is
given up; what is not there is sent again only where that is safe, and closed as never executed only
once its absence is proof, counted from the last time it was sent.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from app import log
from app.db import decisions, payments, sends
from app.db.base import Row
from app.db.scope import Scope
from app.domain import settling
from app.domain.collection import SEND_LEASE
from app.domain.outcome import (
    Authorized,
    Found,
    NotFound,
    Outcome,
    PaymentLookup,
    Pending,
    RequiresAction,
    Voided,
)
from app.domain.payment import Attempt
from app.domain.refund import Refund
from app.gateways.base import ConfigurationError, Gateway
from app.gateways.capabilities import NativeKey, PerOrder, Repeatability
from app.runtime import Runtime
from app.services import charging, differences
from app.services.opening import open_account
from app.services.payments import BEGIN_WITHIN, SEND_WITHIN, SETTLE_MAX, TOO_LATE, WALL, settle_all

CHUNKS_MAX: Final = 10_000
ABSENT: Final = "the gateway does not show it yet"
logger = log.get(__name__)


async def resolve_due(rt: Runtime, scope: Scope = WALL, now: datetime | None = None) -> int:
    """Find out about attempts whose look-up is due; the number looked into.

    As many at a time as may be in flight, so that none waits until its lease is over.
    """
    looked, limit = 0, min(SETTLE_MAX, rt.settings.charges_in_flight)
    for _ in range(CHUNKS_MAX):
        begun = rt.clock.now()
        at = now or begun
        async with rt.db.begin_system() as tx:
            attempts = await payments.claim_look_ups(tx, scope, at, at + SEND_LEASE, limit)
            # A method detached since, or an account closed, must not hide what became of a charge.
            methods = await payments.methods(
                tx, [(a.merchant_id, a.payment_method_id) for a in attempts], usable=False
            )
        if not attempts:
            break
        async with asyncio.TaskGroup() as group:
            for attempt in attempts:
                method = methods.get((attempt.merchant_id, attempt.payment_method_id))
                group.create_task(_resolve(rt, attempt, method, (at, begun)))
        looked += len(attempts)
    return looked


async def _resolve(
    rt: Runtime, attempt: Attempt, method: Row | None, claimed: tuple[datetime, datetime]
) -> None:
    """Look one attempt up; `claimed` is when it was, for its customer and by the wall clock.

    A fault in it is a look-up that taught nothing, of which a person hears in the end; where even
    that cannot be written down, the lease brings it back.
    """
    try:
        try:
            await _look(rt, attempt, method, claimed)
        except ConfigurationError as error:
            logger.error("resolve.account_unusable", attempt=str(attempt.id), reason=str(error))
            await _wait(rt, attempt, f"the account cannot be used: {error}", claimed[0])
        except Exception as error:
            logger.exception("resolve.fault", attempt=str(attempt.id))
            await _wait(rt, attempt, f"fault_{type(error).__name__}", claimed[0])
    except Exception:
        logger.exception("resolve.unsettled", attempt=str(attempt.id))


async def _look(
    rt: Runtime, attempt: Attempt, method: Row | None, claimed: tuple[datetime, datetime]
) -> None:
    now, begun = claimed
    if method is None:
        await _wait(rt, attempt, "the payment method or account is gone", now)
        return
    await Search(rt, attempt, open_account(rt, method), now, begun).look(method)


class Search:
    """One look-up of one attempt, claimed by this process for as long as its lease lasts."""

    def __init__(
        self, rt: Runtime, attempt: Attempt, gateway: Gateway, now: datetime, begun: datetime
    ) -> None:
        self._rt = rt
        self._attempt = attempt
        self._gateway = gateway
        self._now = now
        self._begun = begun

    async def look(self, method: Row) -> None:
        """Ask the gateway, and do what follows."""
        found = await self._gateway.find_payment(charging.query_of(self._attempt, method))
        match found:
            case Found(outcome=outcome, others=others):
                await self._found(outcome)
                if others:
                    logger.error("collect.charged_twice", attempt=str(self._attempt.id))
                    cause = f"the gateway has it more than once: {others}"
                    await review(self._rt, self._attempt, cause)
                    await differences.charged_again(self._rt, self._gateway, self._attempt, others)
            case NotFound():
                await self._absent(found)
            case _:
                await _wait(self._rt, self._attempt, f"look-up failed: {found.cause}", self._now)

    async def _found(self, outcome: Outcome) -> None:
        attempt = self._attempt
        match outcome:
            case Authorized() | RequiresAction() if attempt.void_wanted_at is not None:
                outcome = await self._give_up(outcome)
            case Authorized() | Pending() if self._is_overdue():
                await self._hand_over("the gateway has not come to an end in the time it needs")
                return
            case Authorized():
                outcome = await self.capture(outcome)
            case _:
                pass
        await settle_all(self._rt, [(attempt, outcome)], self._now)

    def _is_overdue(self) -> bool:
        longest = timedelta(seconds=self._gateway.capabilities.pending_seconds_max)
        return self._now - self._attempt.created_at > longest

    async def _give_up(self, waiting: Authorized | RequiresAction) -> Outcome:
        """Nobody waits for it any more; where it cannot be given up, it stands as it was found."""
        named = replace(
            self._attempt,
            gateway_reference=waiting.gateway_reference or self._attempt.gateway_reference,
        )
        if named.gateway_reference is None:
            return waiting
        outcome = await charging.void(self._gateway, named)
        return outcome if isinstance(outcome, Voided) else waiting

    async def capture(self, held: Authorized) -> Outcome:
        """Take what is held, once: again only where a key or the time that went by make it safe."""
        attempt, can = self._attempt, self._gateway.capabilities
        if (held.amount_minor, held.currency) != (attempt.amount, attempt.currency):
            return held
        sent_at = attempt.capture_sent_at
        age = self._age(attempt.created_at)
        is_safe = (
            sent_at is None
            or _is_keyed(can.capture_repeatability, age)
            or can.absence_is_proof(self._age(sent_at) - SEND_WITHIN.seconds)
        )
        if not is_safe or not await self._about_to("capture_sent_at", sent_at):
            return held
        return await charging.capture(self._gateway, attempt, held)

    async def _absent(self, found: NotFound) -> None:
        """Not there: send it again, believe that it never was, or wait."""
        attempt, can = self._attempt, self._gateway.capabilities
        if attempt.void_wanted_at is None and self._may_repeat(found):
            request = charging.request_again(attempt)
            assert request is not None
            # A key is safe even if the first call is under way; so is an order that must show.
            is_on = await self._about_to("last_sent_at", attempt.last_sent_at)
            outcome: Outcome = TOO_LATE
            if is_on:
                outcome = await charging.charge(self._gateway, request, again=True)
            await settle_all(self._rt, [(attempt, outcome)], self._now)
            return
        if not found.definitive:
            await _wait(self._rt, attempt, ABSENT, self._now)
            return
        sent_at = attempt.last_sent_at or attempt.created_at
        absent_since = await missing_since(self._rt, "payment_attempts", attempt, self._now)
        age, absent = self._age(sent_at) - SEND_WITHIN.seconds, self._age(absent_since)
        if can.absence_is_proof(age, absent):
            await _close(self._rt, attempt, self._now)
            return
        proven_after = max(can.lookup_freshness_seconds, can.effect_latest_seconds) + 1
        until = max(
            sent_at + SEND_WITHIN + timedelta(seconds=proven_after),
            absent_since + timedelta(seconds=can.absence_gap_seconds),
        )
        await _wait(self._rt, attempt, ABSENT, self._now, until)

    def _may_repeat(self, found: PaymentLookup) -> bool:
        attempt = self._attempt
        if attempt.request is None or attempt.gateway_reference is not None:
            return False
        key = self._gateway.capabilities.charge_repeatability
        match key:
            case NativeKey():
                return key.covers(self._age(attempt.created_at))
            case PerOrder():
                # An order that does not show yet would be made a second time, and charged.
                sent_at = attempt.last_sent_at or attempt.created_at
                is_shown = self._age(sent_at) > self._gateway.capabilities.lookup_freshness_seconds
                return isinstance(found, NotFound) and found.definitive and is_shown
            case _:
                return False

    def _age(self, since: datetime) -> int:
        return int((self._now - since).total_seconds())

    async def _about_to(self, mark: str, before: datetime | None) -> bool:
        """Write down that a call is made now; whether nobody else makes it, and it is time to."""
        async with self._rt.db.begin_system() as tx:
            key = (self._attempt.merchant_id, self._attempt.id)
            is_ours = await sends.mark_sent(tx, key, mark, before, self._now)
        return is_ours and self._rt.clock.now() - self._begun <= BEGIN_WITHIN

    async def _hand_over(self, cause: str) -> None:
        """A person has to say what becomes of it; nobody asks any more."""
        logger.error("collect.overdue", attempt=str(self._attempt.id))
        async with self._rt.db.begin_system() as tx:
            key = (self._attempt.merchant_id, self._attempt.id)
            [(fresh, _)] = await payments.lock_attempts(tx, [key])
            if fresh.look_up_at is not None:
                await decisions.record(tx, [settling.hand_over(fresh, cause)], self._now)


async def take(
    rt: Runtime, gateway: Gateway, attempt: Attempt, held: Authorized, now: datetime
) -> Outcome:
    """What is held for an attempt, captured as far as that is safe; else as it was found."""
    if attempt.void_wanted_at is not None:
        return held
    return await Search(rt, attempt, gateway, now, rt.clock.now()).capture(held)


async def review(rt: Runtime, attempt: Attempt, cause: str) -> None:
    """Leave word for a person, whatever became of the attempt."""
    async with rt.db.begin_system() as tx:
        [(fresh, _)] = await payments.lock_attempts(tx, [(attempt.merchant_id, attempt.id)])
        await decisions.record(tx, [settling.review(fresh, cause)], rt.clock.now())


async def missing_since(rt: Runtime, table: str, sent: Attempt | Refund, now: datetime) -> datetime:
    """When the gateway was first found to have nothing of it, since it was last sent."""
    since, sent_at = sent.absent_since, sent.last_sent_at or sent.created_at
    if since is not None and since >= sent_at:
        return since
    async with rt.db.begin_system() as tx:
        await sends.mark_absent(tx, table, (sent.merchant_id, sent.id), now)
    return now


def _is_keyed(key: Repeatability, age_seconds: int) -> bool:
    return isinstance(key, NativeKey) and key.covers(age_seconds)


async def _wait(
    rt: Runtime, attempt: Attempt, detail: str, now: datetime, until: datetime | None = None
) -> None:
    """Note that nothing was learned: ask again, at `until` at the latest time there is to learn."""
    async with rt.db.begin_system() as tx:
        [(fresh, _)] = await payments.lock_attempts(tx, [(attempt.merchant_id, attempt.id)])
        if fresh.look_up_at is not None:
            await decisions.record(tx, [settling.look_again(fresh, detail, now, until)], now)


async def _close(rt: Runtime, attempt: Attempt, now: datetime) -> None:
    """It was never executed; unless the gateway had given it a name, or somebody was quicker: to
    settle it, or to send it once more than was looked for.
    """
    async with rt.db.begin_system() as tx:
        [(fresh, payment)] = await payments.lock_attempts(tx, [(attempt.merchant_id, attempt.id)])
        if fresh.look_up_at is None or fresh.last_sent_at != attempt.last_sent_at:
            return
        if fresh.gateway_reference is not None:
            detail = f"the gateway does not know its own {fresh.gateway_reference} any more"
            decision = settling.look_again(fresh, detail, now)
        else:
            [bill] = await payments.load_bills(tx, [payment])
            decision = settling.never_executed(replace(bill, attempt=fresh), now)
        await decisions.record(tx, [decision], now)
