"""Answers that do not come: never taken for one, always found out, never charged twice."""

from dataclasses import replace

import pytest

from app.domain.outcome import (
    Declined,
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    RefundDeclined,
    Refunded,
    Succeeded,
    Unknown,
    VoidDeclined,
    Voided,
)
from app.gateways.capabilities import NativeKey
from app.gateways.requests import CaptureRequest, PaymentQuery, RefundQuery, VoidRequest
from app.testing.harness import HAPPENED, RETRY_AFTER_SECONDS, Fault, Verb
from app.testing.trial import AMOUNT, Trial, new_code

LOSING = [fault for fault in Fault if fault not in {Fault.LATE, Fault.RUNNING}]
REFUSING_LOOKS = [
    Fault.TIMEOUT_BEFORE,
    Fault.RESET_AFTER,
    Fault.ERROR_BEFORE,
    Fault.CUT,
    Fault.UNREADABLE,
    Fault.RATE_LIMITED,
]
NOBODY_LISTENS = "http://127.0.0.1:9"


@pytest.mark.parametrize("fault", LOSING)
async def test_a_fault_never_passes_for_an_answer_and_the_look_up_tells_the_truth(
    trial: Trial, fault: Fault
) -> None:
    """Unknown where money may have moved; never a decline, never a success."""
    request = await trial.charge_of()
    trial.line.strike(fault, Verb.CHARGE)

    outcome = await trial.facing(fault).charge(request)

    trial.line.clear()
    assert isinstance(outcome, NotExecuted if fault is Fault.RATE_LIMITED else Unknown), outcome
    await trial.harness.settle()
    if fault in HAPPENED:
        await trial.found(request, lambda found: isinstance(found, Succeeded))
    else:
        found = await trial.find(request)
        assert isinstance(found, NotFound), found
    assert await trial.charged(request) == (AMOUNT if fault in HAPPENED else 0)


@pytest.mark.parametrize("fault", LOSING)
async def test_a_lost_answer_is_had_again_where_that_is_safe_and_money_moves_once(
    trial: Trial, fault: Fault
) -> None:
    """The same request with the same key: by the book of native keys and orders."""
    if not trial.is_repeatable:
        trial.leave("a repetition would be a second charge there")
    request = await trial.charge_of()
    trial.line.strike(fault, Verb.CHARGE, 1)

    first = await trial.facing(fault).charge(request)
    second = await trial.ended(request, await trial.gateway.charge(request))

    assert isinstance(first, Unknown | NotExecuted), first
    if isinstance(trial.can.charge_repeatability, NativeKey) or fault not in HAPPENED:
        assert isinstance(second, Succeeded), second
    else:
        assert isinstance(second, Succeeded | Unknown), second
    await trial.harness.settle()
    moved = await trial.harness.moved(request.attempt_code)
    assert (moved.charged, moved.times) == (AMOUNT, 1)


async def test_nobody_listening_means_not_executed(trial: Trial) -> None:
    """A connection that was never made took nothing with it."""
    request = await trial.charge_of()
    async with trial.account(trial.harness.account(NOBODY_LISTENS)) as gateway:
        assert isinstance(await gateway.charge(request), NotExecuted)
        query = PaymentQuery(request.attempt_code)
        assert isinstance(await gateway.find_payment(query), Inconclusive)
    assert await trial.charged(request) == 0


async def test_too_many_requests_says_when_to_come_back(trial: Trial) -> None:
    """And that nothing was done."""
    trial.line.strike(Fault.RATE_LIMITED, Verb.CHARGE)
    outcome = await trial.gateway.charge(await trial.charge_of())
    assert isinstance(outcome, NotExecuted), outcome
    named = trial.harness.canned.get(Fault.RATE_LIMITED)
    if named is None or "Retry-After" in named.headers:
        assert outcome.retry_after_seconds == RETRY_AFTER_SECONDS


async def test_a_key_that_is_still_running_is_not_an_answer(trial: Trial) -> None:
    """It is the earlier call's affair: unknown, and no decline."""
    if Fault.RUNNING not in trial.harness.canned:
        trial.leave("it has no word for a key that is still running")
    request = await trial.charge_of()
    trial.line.strike(Fault.RUNNING, Verb.CHARGE, 1)
    assert isinstance(await trial.gateway.charge(request), Unknown)
    assert await trial.charged(request) == 0


async def test_a_late_effect_is_found_after_it_happened(trial: Trial) -> None:
    """An error now, the charge in a moment: unknown until then, and found."""
    request = await trial.charge_of()
    trial.line.strike(Fault.LATE, Verb.CHARGE, 1)

    assert isinstance(await trial.gateway.charge(request), Unknown)
    assert await trial.charged(request) == 0

    await trial.found(request, lambda found: not isinstance(found, Declined))
    await trial.harness.settle()
    await trial.found(request, lambda found: isinstance(found, Succeeded))
    assert await trial.charged(request) == AMOUNT


async def test_a_late_effect_and_a_repetition_are_one_charge(trial: Trial) -> None:
    """Whichever of them comes first."""
    if not trial.is_repeatable:
        trial.leave("a repetition would be a second charge there")
    request = await trial.charge_of()
    trial.line.strike(Fault.LATE, Verb.CHARGE, 1)
    first = await trial.gateway.charge(request)
    second = await trial.gateway.charge(request)
    assert isinstance(first, Unknown)
    assert not isinstance(second, Declined), second
    await trial.line.rest()
    await trial.harness.settle()
    await trial.found(request, lambda found: isinstance(found, Succeeded))
    moved = await trial.harness.moved(request.attempt_code)
    assert (moved.charged, moved.times) == (AMOUNT, 1)


@pytest.mark.parametrize("fault", REFUSING_LOOKS)
async def test_a_look_up_that_fails_proves_nothing(trial: Trial, fault: Fault) -> None:
    """Neither for a charge that is there nor for one that is not."""
    request, paid = await trial.paid()
    absent = await trial.charge_of()
    refund = trial.refund_of(request, paid)
    trial.line.strike(fault, Verb.LOOKUP)
    looking = replace(trial, gateway=trial.facing(fault))

    looks = [
        await looking.find(request),
        await looking.find(absent),
        await looking.gateway.fetch_payment(paid.gateway_reference),
        await looking.find_refund(refund),
    ]

    assert all(isinstance(look, Inconclusive) for look in looks), looks


async def test_what_was_never_sent_is_not_found(trial: Trial) -> None:
    """By whatever it is looked for."""
    request, paid = await trial.paid()
    absent = await trial.charge_of()
    assert isinstance(await trial.find(absent), NotFound)
    assert isinstance(await trial.find_refund(trial.refund_of(request, paid)), NotFound)
    bare = PaymentQuery(new_code())
    assert isinstance(await trial.gateway.find_payment(bare), NotFound | Inconclusive)
    query = RefundQuery(new_code(), payment_reference=paid.gateway_reference)
    assert isinstance(await trial.gateway.find_refund(query), NotFound)


async def test_one_charge_is_not_taken_for_another(trial: Trial) -> None:
    """Same customer, same method, same amount: only our reference tells them apart."""
    request, _ = await trial.paid()
    twin = await trial.charge_of()
    query = PaymentQuery(
        reference=twin.attempt_code,
        customer_reference=request.customer_reference,
        payment_method_reference=request.payment_method_reference,
        amount_minor=request.amount_minor,
        currency=request.currency,
    )
    assert isinstance(await trial.gateway.find_payment(query), NotFound)


@pytest.mark.parametrize("fault", LOSING)
async def test_a_lost_refund_is_unknown_until_it_is_looked_up(trial: Trial, fault: Fault) -> None:
    """Unknown, then the truth; and where keys are known a repetition gives back once."""
    charge, paid = await trial.paid()
    refund = trial.refund_of(charge, paid)
    trial.line.strike(fault, Verb.REFUND, 1)

    outcome = await trial.facing(fault).refund(refund)

    assert isinstance(outcome, NotExecuted if fault is Fault.RATE_LIMITED else Unknown), outcome
    await trial.harness.settle()
    found = await trial.find_refund(refund)
    assert isinstance(found, Found if fault in HAPPENED else NotFound), found
    assert (await trial.harness.moved(refund.refund_code)).refunded == (
        refund.amount_minor if fault in HAPPENED else 0
    )
    if isinstance(trial.can.refund_repeatability, NativeKey):
        again = await trial.ended_refund(refund, await trial.gateway.refund(refund))
        assert isinstance(again, Refunded), again
        moved = await trial.harness.moved(refund.refund_code)
        assert (moved.refunded, moved.times) == (refund.amount_minor, 1)


@pytest.mark.parametrize("fault", LOSING)
async def test_a_lost_capture_is_never_taken_for_an_answer(trial: Trial, fault: Fault) -> None:
    """What was held is captured or still held, and the look-up says which."""
    charge, held = await trial.held()
    trial.line.strike(fault, Verb.CAPTURE, 1)
    request = CaptureRequest(
        f"c-{charge.attempt_code}", held.gateway_reference, AMOUNT, charge.currency
    )

    outcome = await trial.facing(fault).capture(request)

    assert isinstance(outcome, NotExecuted if fault is Fault.RATE_LIMITED else Unknown), outcome
    await trial.harness.settle()
    moved = await trial.harness.moved(charge.attempt_code)
    assert (moved.charged, moved.held) == ((AMOUNT, 0) if fault in HAPPENED else (0, AMOUNT))
    found = await trial.find(charge, held.gateway_reference)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Succeeded if fault in HAPPENED else type(held)), found


@pytest.mark.parametrize("fault", LOSING)
async def test_a_lost_void_is_never_taken_for_an_answer(trial: Trial, fault: Fault) -> None:
    """Asked again it is given up, once and for all."""
    charge, held = await trial.held_and_voidable()
    trial.line.strike(fault, Verb.VOID, 1)
    request = VoidRequest(f"v-{charge.attempt_code}", held.gateway_reference)

    outcome = await trial.facing(fault).void(request)
    again = await trial.gateway.void(request)

    assert isinstance(outcome, NotExecuted if fault is Fault.RATE_LIMITED else Unknown), outcome
    assert isinstance(again, Voided), again
    assert (await trial.harness.moved(charge.attempt_code)).held == 0


async def test_what_is_refused_is_refused_and_not_lost(trial: Trial) -> None:
    """A definite no to a refund or a void is no unknown: nothing is to be looked up."""
    charge, paid = await trial.paid()
    much = trial.refund_of(charge, paid, AMOUNT * 2)
    assert isinstance(await trial.gateway.refund(much), RefundDeclined)
    void = VoidRequest(f"v-{charge.attempt_code}", paid.gateway_reference)
    assert isinstance(await trial.gateway.void(void), VoidDeclined)
