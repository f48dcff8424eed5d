"""Refunds: exact, in whole, in part, several; never more than was taken, however many at once."""

import asyncio
from dataclasses import replace

from app.domain.outcome import (
    Found,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundPending,
    RequiresAction,
    Succeeded,
)
from app.gateways.base import InvalidRequestError
from app.gateways.capabilities import NativeKey
from app.testing.harness import Behaviour, Trait
from app.testing.trial import AMOUNT, Trial

PART = 400
OVER = {RefundDeclineReason.EXCEEDS_CAPTURED, RefundDeclineReason.PAYMENT_NOT_REFUNDABLE}


async def test_a_refund_gives_back_everything(trial: Trial) -> None:
    """And is found by our reference and by the gateway's."""
    charge, paid = await trial.paid()
    refund = trial.refund_of(charge, paid)

    outcome = await trial.ended_refund(refund, await trial.gateway.refund(refund))

    assert isinstance(outcome, Refunded), outcome
    assert (outcome.amount_minor, outcome.currency) == (AMOUNT, charge.currency)
    moved = await trial.harness.moved(refund.refund_code)
    assert (moved.refunded, moved.times) == (AMOUNT, 1)
    ours = await trial.find_refund(refund)
    theirs = await trial.gateway.fetch_refund(outcome.gateway_reference, paid.gateway_reference)
    for found in (ours, theirs):
        assert isinstance(found, Found), found
        assert isinstance(found.outcome, Refunded)
        assert found.outcome.amount_minor == AMOUNT
    assert isinstance(theirs, Found)
    assert theirs.reference == refund.refund_code


async def test_a_refund_of_a_part_gives_back_that_part(trial: Trial) -> None:
    """Exactly its minor units; or it is refused before it is sent where parts are not given."""
    charge, paid = await trial.paid()
    refund = trial.refund_of(charge, paid, PART)
    if not trial.can.partial_refund:
        trial.leave("all of a charge is refunded, or nothing")
    outcome = await trial.ended_refund(refund, await trial.gateway.refund(refund))
    assert isinstance(outcome, Refunded), outcome
    assert outcome.amount_minor == PART
    assert (await trial.harness.moved(refund.refund_code)).refunded == PART


async def test_several_refunds_add_up_to_the_charge_and_no_further(trial: Trial) -> None:
    """400 and the rest of it; then nothing is left."""
    if not (trial.can.multiple_refunds and trial.can.partial_refund):
        trial.leave("a charge is refunded once")
    charge, paid = await trial.paid()
    for amount in (PART, AMOUNT - PART):
        refund = trial.refund_of(charge, paid, amount)
        outcome = await trial.ended_refund(refund, await trial.gateway.refund(refund))
        assert isinstance(outcome, Refunded), outcome
    for amount in (1, PART):
        try:
            more = await trial.gateway.refund(trial.refund_of(charge, paid, amount))
        except InvalidRequestError:
            assert amount == 1, "what was given back before is no error"
            continue  # less than the gateway moves
        assert isinstance(more, RefundDeclined), more
        assert more.reason in OVER


async def test_a_refund_of_more_than_was_taken_is_refused(trial: Trial) -> None:
    """As a value, in our words."""
    charge, paid = await trial.paid()
    refund = trial.refund_of(charge, paid, AMOUNT + 1)
    outcome = await trial.gateway.refund(refund)
    assert isinstance(outcome, RefundDeclined), outcome
    assert outcome.reason in OVER
    assert (await trial.harness.moved(refund.refund_code)).refunded == 0


async def test_refunds_at_once_never_give_back_more_than_was_taken(trial: Trial) -> None:
    """Twenty refunds of 150 race for 1,999: thirteen fit (1,950), and then none."""
    if not (trial.can.multiple_refunds and trial.can.partial_refund):
        trial.leave("a charge is refunded once")
    charge, paid = await trial.paid()
    refunds = [trial.refund_of(charge, paid, 150) for _ in range(20)]

    outcomes = await asyncio.gather(*(trial.gateway.refund(refund) for refund in refunds))

    ended = [
        await trial.ended_refund(refund, outcome)
        for refund, outcome in zip(refunds, outcomes, strict=True)
    ]
    assert sum(isinstance(outcome, Refunded) for outcome in ended) == AMOUNT // 150
    returned = [(await trial.harness.moved(refund.refund_code)).refunded for refund in refunds]
    assert sum(returned) == AMOUNT // 150 * 150


async def test_a_refund_that_comes_again_gives_back_once(trial: Trial) -> None:
    """Where refunds bear a key."""
    if not isinstance(trial.can.refund_repeatability, NativeKey):
        trial.leave("a repetition would be a second refund there")
    charge, paid = await trial.paid()
    refund = trial.refund_of(charge, paid, PART if trial.can.partial_refund else AMOUNT)
    outcomes = [await trial.gateway.refund(refund) for _ in range(3)]
    ended = [await trial.ended_refund(refund, outcome) for outcome in outcomes]
    assert all(isinstance(outcome, Refunded) for outcome in ended), ended
    moved = await trial.harness.moved(refund.refund_code)
    assert (moved.refunded, moved.times) == (refund.amount_minor, 1)


async def test_a_refund_may_take_its_time(trial: Trial) -> None:
    """Pending is no success yet."""
    trial.needs(Trait.REFUND_PENDING)
    charge, paid = await trial.paid(Behaviour.REFUND_PENDING)
    refund = trial.refund_of(charge, paid)
    outcome = await trial.gateway.refund(refund)
    assert isinstance(outcome, RefundPending), outcome
    assert isinstance(await trial.ended_refund(refund, outcome), Refunded)


async def test_a_refund_may_fail(trial: Trial) -> None:
    """And gives nothing back."""
    trial.needs(Trait.REFUND_FAILS)
    charge, paid = await trial.paid(Behaviour.REFUND_FAILS)
    refund = trial.refund_of(charge, paid)
    outcome = await trial.ended_refund(refund, await trial.gateway.refund(refund))
    assert isinstance(outcome, RefundDeclined), outcome
    assert outcome.gateway_code
    assert (await trial.harness.moved(refund.refund_code)).refunded == 0


async def test_a_refund_that_succeeded_may_come_back(trial: Trial) -> None:
    """It has failed then, by the very name that it went out under."""
    trial.needs(Trait.REFUND_COMES_BACK)
    charge, paid = await trial.paid()
    refund = trial.refund_of(charge, paid)
    outcome = await trial.ended_refund(refund, await trial.gateway.refund(refund))
    assert isinstance(outcome, Refunded), outcome
    await trial.harness.send_back(outcome.gateway_reference)
    assert (await trial.harness.moved(refund.refund_code)).refunded == 0
    ours = await trial.find_refund(refund)
    theirs = await trial.gateway.fetch_refund(outcome.gateway_reference, paid.gateway_reference)
    for found in (ours, theirs):
        assert isinstance(found, Found), found
        assert isinstance(found.outcome, RefundDeclined), found
        assert found.outcome.gateway_reference == outcome.gateway_reference


async def test_what_is_no_charge_cannot_be_refunded(trial: Trial) -> None:
    """There is none with this name."""
    charge, paid = await trial.paid()
    name = paid.gateway_reference
    stranger = name[:-4] + ("0000" if name[-4:] != "0000" else "1111")
    refund = replace(trial.refund_of(charge, paid), payment_reference=stranger)
    try:
        outcome = await trial.gateway.refund(refund)
    except InvalidRequestError:
        return
    assert isinstance(outcome, RefundDeclined), outcome
    assert outcome.reason is RefundDeclineReason.PAYMENT_NOT_FOUND


async def test_what_moved_no_money_cannot_be_refunded(trial: Trial) -> None:
    """A charge that waits for its customer has nothing to give back."""
    trial.needs(Trait.REQUIRES_ACTION)
    request = await trial.charge_of(await trial.harness.keep(Behaviour.REQUIRES_ACTION))
    waiting = await trial.gateway.charge(request)
    assert isinstance(waiting, RequiresAction)
    assert waiting.gateway_reference is not None
    as_if = Succeeded(waiting.gateway_reference, AMOUNT, request.currency)
    outcome = await trial.gateway.refund(trial.refund_of(request, as_if))
    assert isinstance(outcome, RefundDeclined), outcome
