"""Money that is held: captured in whole, in part, or given up; never more than was held."""

from app.domain.outcome import (
    Authorized,
    Declined,
    Found,
    Succeeded,
    VoidDeclined,
    VoidDeclineReason,
    Voided,
)
from app.gateways.base import InvalidRequestError
from app.gateways.requests import CaptureRequest, ChargeRequest, VoidRequest
from app.testing.harness import Verb
from app.testing.trial import AMOUNT, Trial, new_code

PART = 700


def capture_of(charge: ChargeRequest, held: Authorized, amount: int = AMOUNT) -> CaptureRequest:
    """The capture of what is held for a charge."""
    key = f"c-{charge.attempt_code}"
    return CaptureRequest(key, held.gateway_reference, amount, charge.currency)


async def test_holding_money_is_refused_before_sending_where_it_cannot_be(trial: Trial) -> None:
    """A gateway that would take it at once must not be asked to hold it."""
    if trial.can.manual_capture:
        _, held = await trial.held()
        assert held.gateway_reference
        return
    request = await trial.charge_of(is_captured=False)
    try:
        outcome = await trial.gateway.charge(request)
    except InvalidRequestError:
        assert not trial.line.asked(Verb.CHARGE)
    else:
        raise AssertionError(f"it was not refused: {outcome}")


async def test_what_is_held_has_not_moved(trial: Trial) -> None:
    """It is found as held, for its whole amount."""
    charge, held = await trial.held()
    assert (held.amount_minor, held.currency) == (AMOUNT, charge.currency)
    moved = await trial.harness.moved(charge.attempt_code)
    assert (moved.charged, moved.held) == (0, AMOUNT)
    found = await trial.find(charge, held.gateway_reference)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Authorized)
    assert found.outcome.amount_minor == AMOUNT


async def test_a_capture_takes_all_that_is_held(trial: Trial) -> None:
    """And it is found captured."""
    charge, held = await trial.held()
    outcome = await trial.ended(charge, await trial.gateway.capture(capture_of(charge, held)))
    assert isinstance(outcome, Succeeded), outcome
    assert (outcome.amount_minor, outcome.currency) == (AMOUNT, charge.currency)
    moved = await trial.harness.moved(charge.attempt_code)
    assert (moved.charged, moved.held, moved.times) == (AMOUNT, 0, 1)
    found = await trial.find(charge, held.gateway_reference)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Succeeded)


async def test_a_capture_of_a_part_takes_that_part(trial: Trial) -> None:
    """What is left of it is given up."""
    charge, held = await trial.held()
    if not trial.can.partial_capture:
        trial.leave("all that is held is captured, or nothing")
    outcome = await trial.ended(charge, await trial.gateway.capture(capture_of(charge, held, PART)))
    assert isinstance(outcome, Succeeded), outcome
    assert outcome.amount_minor == PART
    moved = await trial.harness.moved(charge.attempt_code)
    assert (moved.charged, moved.held) == (PART, 0)


async def test_no_capture_takes_more_than_is_held(trial: Trial) -> None:
    """It is refused, one way or the other, and the money is held as before."""
    charge, held = await trial.held()
    try:
        outcome = await trial.gateway.capture(capture_of(charge, held, AMOUNT + 1))
    except InvalidRequestError:
        pass
    else:
        assert isinstance(outcome, Declined), outcome
    assert (await trial.harness.moved(charge.attempt_code)).charged == 0


async def test_a_capture_that_comes_again_takes_nothing_more(trial: Trial) -> None:
    """With the same key or another."""
    charge, held = await trial.held()
    request = capture_of(charge, held)
    await trial.ended(charge, await trial.gateway.capture(request))
    for key in (request.idempotency_key, f"other-{charge.attempt_code}"):
        again = CaptureRequest(key, held.gateway_reference, AMOUNT, charge.currency)
        try:
            outcome = await trial.gateway.capture(again)
        except InvalidRequestError:
            continue
        assert not isinstance(outcome, Authorized), outcome
    moved = await trial.harness.moved(charge.attempt_code)
    assert (moved.charged, moved.held, moved.times) == (AMOUNT, 0, 1)


async def test_what_is_held_can_be_given_up_and_not_captured_after(trial: Trial) -> None:
    """Given up twice is given up."""
    charge, held = await trial.held_and_voidable()
    void = VoidRequest(f"v-{charge.attempt_code}", held.gateway_reference)
    assert isinstance(await trial.gateway.void(void), Voided)
    assert isinstance(await trial.gateway.void(void), Voided)
    try:
        outcome = await trial.gateway.capture(capture_of(charge, held))
    except InvalidRequestError:
        pass
    else:
        assert isinstance(outcome, Declined | Voided), outcome
    moved = await trial.harness.moved(charge.attempt_code)
    assert (moved.charged, moved.held) == (0, 0)
    found = await trial.find(charge, held.gateway_reference)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Voided), found


async def test_what_cannot_be_given_up_is_not_called_given_up(trial: Trial) -> None:
    """It is held as before, and can be captured."""
    if trial.can.void:
        trial.leave("what is held can be given up there")
    charge, held = await trial.held()
    refused = await trial.gateway.void(VoidRequest(f"v-{new_code()}", held.gateway_reference))
    assert isinstance(refused, VoidDeclined), refused
    assert refused.reason is VoidDeclineReason.NOT_VOIDABLE
    moved = await trial.harness.moved(charge.attempt_code)
    assert (moved.charged, moved.held) == (0, AMOUNT)
    outcome = await trial.ended(charge, await trial.gateway.capture(capture_of(charge, held)))
    assert isinstance(outcome, Succeeded), outcome


async def test_captured_money_is_not_voided(trial: Trial) -> None:
    """Neither what was captured later nor what was taken at once: that is a refund's affair."""
    charge, paid = await trial.paid()
    refused = await trial.gateway.void(VoidRequest(f"v-{new_code()}", paid.gateway_reference))
    assert isinstance(refused, VoidDeclined), refused
    assert refused.reason is VoidDeclineReason.ALREADY_CAPTURED
    assert await trial.charged(charge) == AMOUNT
    if trial.can.manual_capture:
        charge, held = await trial.held()
        await trial.ended(charge, await trial.gateway.capture(capture_of(charge, held)))
        void = VoidRequest(f"v-{charge.attempt_code}", held.gateway_reference)
        assert isinstance(await trial.gateway.void(void), VoidDeclined)
        assert await trial.charged(charge) == AMOUNT
