"""Charges: exact amounts, refusals in our words, what takes its time, and keys."""

import asyncio
from dataclasses import replace

import pytest

from app.domain.outcome import (
    Authorized,
    Declined,
    Found,
    Pending,
    RequiresAction,
    Succeeded,
    Unknown,
    Voided,
)
from app.gateways.base import GatewayError, InvalidRequestError
from app.gateways.capabilities import NativeKey
from app.gateways.requests import CaptureRequest, ChargeRequest, Sequence, VoidRequest
from app.testing.harness import Behaviour, Moved, Trait, Verb
from app.testing.trial import AMOUNT, Trial

PLACES = 20


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (1_999, "EUR"),
        (1_999, "USD"),
        (500, "JPY"),
        (12_345, "KWD"),
        (12_340, "KWD"),
        (199_999, "INR"),
    ],
)
async def test_a_charge_moves_exactly_its_minor_units_or_is_refused_before_it_is_sent(
    trial: Trial, amount: int, currency: str
) -> None:
    """No amount is rounded, scaled or guessed at, whatever the currency's decimals."""
    request = await trial.charge_of(amount_minor=amount, currency=currency)
    try:
        outcome = await trial.gateway.charge(request)
    except InvalidRequestError:
        is_usual = currency in {trial.harness.currency, *(trial.can.currencies or ())}
        assert not is_usual or amount % 10, "a currency of this account must be chargeable"
        assert await trial.harness.moved(request.attempt_code) == Moved()
        assert not trial.line.asked(Verb.CHARGE), "it must be refused before anything is sent"
        return

    outcome = await trial.ended(request, outcome)

    assert isinstance(outcome, Succeeded), outcome
    assert (outcome.amount_minor, outcome.currency) == (amount, currency)
    moved = await trial.harness.moved(request.attempt_code)
    assert (moved.charged, moved.currency, moved.times) == (amount, currency, 1)


async def test_a_charge_is_found_by_our_reference_and_by_the_gateway_s(trial: Trial) -> None:
    """Both look-ups say the same, and the second knows our reference."""
    request, paid = await trial.paid()

    ours = await trial.find(request)
    theirs = await trial.gateway.fetch_payment(paid.gateway_reference)

    for found in (ours, theirs):
        assert isinstance(found, Found), found
        assert isinstance(found.outcome, Succeeded), found
        assert found.outcome.gateway_reference == paid.gateway_reference
        assert (found.outcome.amount_minor, found.outcome.currency) == (
            request.amount_minor,
            request.currency,
        )
        assert not found.others
    assert isinstance(theirs, Found)
    assert theirs.reference == request.attempt_code


async def test_every_decline_is_a_value_in_our_words_and_moves_nothing(trial: Trial) -> None:
    """The gateway's own word is kept; category, reason and advice are as the harness says."""
    wrong = {}
    for word, verdict in trial.harness.declines.items():
        request = await trial.charge_of(await trial.harness.keep_declining(word))
        outcome = await trial.ended(request, await trial.gateway.charge(request))
        assert isinstance(outcome, Declined), (word, outcome)
        info = outcome.info
        if (info.category, info.reason, info.advice) != verdict or not info.gateway_code:
            wrong[word] = info
        assert await trial.charged(request) == 0
    assert trial.harness.declines
    assert not wrong


async def test_a_declined_charge_is_found_declined(trial: Trial) -> None:
    """What is looked up later is judged as it was at once; where the gateway keeps refusals."""
    word, verdict = next(iter(trial.harness.declines.items()))
    request = await trial.charge_of(await trial.harness.keep_declining(word))
    at_once = await trial.ended(request, await trial.gateway.charge(request))
    assert isinstance(at_once, Declined)

    found = await trial.find(request, at_once.gateway_reference)

    if isinstance(found, Found):
        assert isinstance(found.outcome, Declined), found
        info = found.outcome.info
        assert (info.category, info.reason, info.advice) == verdict
    else:
        assert at_once.gateway_reference is None, "what the gateway has named can be found"


async def test_a_charge_that_needs_the_customer_says_so_and_how(trial: Trial) -> None:
    """There is a page to go to, or a secret for the gateway's script."""
    trial.needs(Trait.REQUIRES_ACTION)
    request = await trial.charge_of(await trial.harness.keep(Behaviour.REQUIRES_ACTION))

    outcome = await trial.gateway.charge(request)

    assert isinstance(outcome, RequiresAction), outcome
    assert outcome.action_url or outcome.client_secret
    assert await trial.charged(request) == 0
    found = await trial.find(request, outcome.gateway_reference)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, RequiresAction)


@pytest.mark.parametrize("confirms", [True, False])
async def test_a_charge_that_waited_for_its_customer_is_found_decided(
    trial: Trial, confirms: bool
) -> None:
    """A look-up says what the customer did; what they agreed to is taken, if it was not at once."""
    trial.needs(Trait.REQUIRES_ACTION)
    if not confirms:
        trial.needs(Trait.REFUSAL_ENDS)
    request = await trial.charge_of(await trial.harness.keep(Behaviour.REQUIRES_ACTION))
    waiting = await trial.gateway.charge(request)
    assert isinstance(waiting, RequiresAction)

    await trial.harness.customer_acts(waiting, confirms=confirms)

    if confirms:
        await taken(trial, request, waiting)
    else:
        named = waiting.gateway_reference
        await trial.found(request, lambda found: isinstance(found, Declined), named)
    assert await trial.charged(request) == (AMOUNT if confirms else 0)


async def taken(trial: Trial, request: ChargeRequest, waiting: RequiresAction) -> None:
    """What the customer agreed to is found taken; or found held, and then captured."""
    wanted = Succeeded | Authorized
    named = waiting.gateway_reference
    found = await trial.found(request, lambda found: isinstance(found, wanted), named)
    if isinstance(found, Authorized):
        key = f"c-{request.attempt_code}"
        take = CaptureRequest(key, found.gateway_reference, AMOUNT, request.currency)
        assert isinstance(await trial.gateway.capture(take), Succeeded)


async def test_a_refusal_that_ends_nothing_leaves_the_charge_waiting(trial: Trial) -> None:
    """Never a decline, while the customer can still pay: another charge would be a second one."""
    trial.needs(Trait.REQUIRES_ACTION)
    if Trait.REFUSAL_ENDS not in trial.harness.lacks:
        trial.leave("a refusal ends a charge there")
    request = await trial.charge_of(await trial.harness.keep(Behaviour.REQUIRES_ACTION))
    waiting = await trial.gateway.charge(request)
    assert isinstance(waiting, RequiresAction)

    await trial.harness.customer_acts(waiting, confirms=False)
    found = await trial.find(request, waiting.gateway_reference)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, RequiresAction), found

    await trial.harness.customer_acts(waiting, confirms=True)
    await taken(trial, request, waiting)
    assert await trial.charged(request) == AMOUNT


async def test_a_charge_that_waits_for_its_customer_can_be_given_up(trial: Trial) -> None:
    """A void ends it for good: nothing is taken when the customer comes after all."""
    trial.needs(Trait.REQUIRES_ACTION)
    request = await trial.charge_of(await trial.harness.keep(Behaviour.REQUIRES_ACTION))
    waiting = await trial.gateway.charge(request)
    assert isinstance(waiting, RequiresAction)
    assert waiting.gateway_reference is not None

    void = VoidRequest(f"v-{request.attempt_code}", waiting.gateway_reference)
    voided = await trial.gateway.void(void)

    assert isinstance(voided, Voided), voided
    named = waiting.gateway_reference
    await trial.found(request, lambda found: isinstance(found, Voided | Declined), named)
    assert await trial.charged(request) == 0


@pytest.mark.parametrize(
    ("behaviour", "ending"),
    [
        (Behaviour.PENDING_THEN_SUCCEEDS, Succeeded),
        (Behaviour.PENDING_THEN_FAILS, Declined),
    ],
)
async def test_a_pending_charge_is_pending_until_it_ends(
    trial: Trial, behaviour: Behaviour, ending: type
) -> None:
    """Pending is neither success nor decline, and the end is found by a look-up."""
    trial.needs(Trait.PENDING)
    request = await trial.charge_of(await trial.harness.keep(behaviour))

    outcome = await trial.gateway.charge(request)

    assert isinstance(outcome, Pending), outcome
    assert isinstance(await trial.ended(request, outcome), ending)
    assert await trial.charged(request) == (AMOUNT if ending is Succeeded else 0)


async def test_a_charge_that_is_announced_takes_nothing_before_its_time(trial: Trial) -> None:
    """It is pending, asked for again and again it is the same; then it is taken once."""
    request = trial.unannounced(await trial.harness.keep(Behaviour.OK))
    if not trial.lead_time_seconds(request):
        trial.leave("charges are not announced there")

    waiting = await trial.gateway.charge(request)
    assert isinstance(waiting, Pending), waiting
    assert waiting.expected_by is not None
    assert await trial.gateway.charge(request) == waiting
    found = await trial.find(request, waiting.gateway_reference)
    assert isinstance(found, Found)
    assert found.outcome == waiting
    assert not trial.line.asked(Verb.CHARGE)
    assert await trial.charged(request) == 0

    await trial.harness.settle()
    taken = await trial.ended(request, await trial.gateway.charge(request))
    assert isinstance(taken, Succeeded), taken
    moved = await trial.harness.moved(request.attempt_code)
    assert (moved.charged, moved.times) == (AMOUNT, 1)


async def test_a_replay_gets_the_first_answer_and_moves_nothing_more(trial: Trial) -> None:
    """Where the gateway knows keys or orders: three calls, one charge."""
    if not trial.is_repeatable:
        trial.leave("a repetition would be a second charge there")
    request = await trial.charge_of()
    first = await trial.ended(request, await trial.gateway.charge(request))
    again = [await trial.gateway.charge(request) for _ in range(2)]

    assert isinstance(first, Succeeded)
    for outcome in again:
        assert isinstance(outcome, Succeeded | Pending | Unknown), outcome
        if isinstance(outcome, Succeeded):
            assert outcome.gateway_reference == first.gateway_reference
    assert await trial.harness.moved(request.attempt_code) == Moved(
        charged=AMOUNT, times=1, currency=request.currency
    )


async def test_a_replay_of_a_decline_is_no_second_attempt(trial: Trial) -> None:
    """It is declined again, or at least not charged."""
    if not isinstance(trial.can.charge_repeatability, NativeKey):
        trial.leave("its requests bear no key")
    word = next(iter(trial.harness.declines))
    request = await trial.charge_of(await trial.harness.keep_declining(word))
    outcomes = [await trial.gateway.charge(request) for _ in range(2)]
    assert all(isinstance(outcome, Declined | Pending) for outcome in outcomes), outcomes
    assert await trial.charged(request) == 0


async def test_the_same_charge_from_many_places_at_once_moves_money_once(trial: Trial) -> None:
    """Whoever comes second is told the first answer, or that it is not known yet; never a no."""
    if not trial.is_repeatable_at_once:
        trial.leave("a repetition at the same moment would be a second charge there")
    request = await trial.charge_of()

    outcomes = await asyncio.gather(*(trial.gateway.charge(request) for _ in range(PLACES)))

    assert not [o for o in outcomes if isinstance(o, Declined)], outcomes
    await trial.harness.settle()
    await trial.found(request, lambda found: isinstance(found, Succeeded))
    moved = await trial.harness.moved(request.attempt_code)
    assert (moved.charged, moved.times) == (AMOUNT, 1)


async def test_a_key_used_for_another_amount_is_our_bug_and_moves_nothing(trial: Trial) -> None:
    """Only where a key says what it stands for."""
    if not isinstance(trial.can.charge_repeatability, NativeKey):
        trial.leave("its requests bear no key")
    request = await trial.charge_of()
    await trial.gateway.charge(request)
    try:
        outcome = await trial.gateway.charge(replace(request, amount_minor=AMOUNT + 1))
    except GatewayError:
        pass
    else:
        assert isinstance(outcome, Unknown), outcome
    await trial.harness.settle()
    assert (await trial.harness.moved(request.attempt_code)).times == 1
    assert await trial.charged(request) == AMOUNT


async def test_two_attempts_are_two_charges(trial: Trial) -> None:
    """Whatever guards against repetitions must not swallow a charge that is meant."""
    kept = await trial.harness.keep(Behaviour.OK)
    requests = [await trial.charge_of(kept, AMOUNT + n) for n in range(2)]
    for request in requests:
        outcome = await trial.ended(request, await trial.gateway.charge(request))
        assert isinstance(outcome, Succeeded), outcome
        assert await trial.charged(request) == request.amount_minor


async def test_the_first_charge_of_a_series_and_the_next_are_both_taken(trial: Trial) -> None:
    """With the network's name of the first in the second, where there is one."""
    kept = await trial.harness.keep(Behaviour.OK)
    first = replace(await trial.charge_of(kept), sequence=Sequence.INITIAL)
    outcome = await trial.ended(first, await trial.gateway.charge(first))
    assert isinstance(outcome, Succeeded)

    second = replace(
        await trial.charge_of(kept, AMOUNT + 1),
        network_transaction_id=outcome.network_transaction_id,
        original_amount_minor=first.amount_minor,
    )

    assert isinstance(await trial.ended(second, await trial.gateway.charge(second)), Succeeded)
