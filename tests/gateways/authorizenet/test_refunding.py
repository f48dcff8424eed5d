"""Refunds: whole before settlement by a void, any part afterwards by a credit, and never double."""

import asyncio

import pytest

from app.domain.outcome import (
    Authorized,
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundPending,
    Succeeded,
    Unknown,
)
from app.gateways.base import AccountSettings, InvalidRequestError
from app.gateways.requests import RefundQuery, RefundRequest
from tests.gateways.authorizenet.terms import Shop, impatient


def query(request: RefundRequest, **more: object) -> RefundQuery:
    narrowed = {
        "payment_reference": request.payment_reference,
        "amount_minor": request.amount_minor,
    }
    return RefundQuery(request.refund_code, **(narrowed | more))


async def test_a_settled_charge_is_credited_in_parts(shop: Shop) -> None:
    _, payment = await shop.charged(amount=1000, settled=True)
    # 4.00 + 6.00 are the whole 10.00; another cent is too much.
    for amount in (400, 600):
        request = shop.refund(payment, amount)
        outcome = await shop.gateway.refund(request)
        assert isinstance(outcome, Refunded)
        assert (outcome.amount_minor, outcome.currency) == (amount, "USD")
        assert shop.given_back(request) == f"{amount // 100}.00"
        assert await shop.gateway.find_refund(query(request)) == Found(outcome)
        assert await shop.gateway.fetch_refund(outcome.gateway_reference) == Found(
            outcome, reference=request.refund_code
        )
    over = await shop.gateway.refund(shop.refund(payment, 1))
    assert isinstance(over, RefundDeclined)
    assert over.reason is RefundDeclineReason.EXCEEDS_CAPTURED


async def test_refunds_of_one_amount_are_told_apart_by_their_codes(shop: Shop) -> None:
    _, payment = await shop.charged(amount=1000, settled=True)
    requests = [shop.refund(payment, 300) for _ in range(3)]
    outcomes = [await shop.gateway.refund(each) for each in requests]
    assert all(isinstance(each, Refunded) for each in outcomes)
    for request, outcome in zip(requests, outcomes, strict=True):
        assert await shop.gateway.find_refund(query(request)) == Found(outcome)


async def test_refunds_at_once_never_give_back_more_than_was_taken(shop: Shop) -> None:
    # Twenty refunds of 1.50 race for 10.00: six fit (9.00), and then none.
    _, payment = await shop.charged(amount=1000, settled=True)
    requests = [shop.refund(payment, 150) for _ in range(20)]
    outcomes = await asyncio.gather(*(shop.gateway.refund(each) for each in requests))
    refused = [each for each in outcomes if isinstance(each, RefundDeclined)]
    assert sum(isinstance(each, Refunded) for each in outcomes) == 6
    assert {each.reason for each in refused} == {RefundDeclineReason.EXCEEDS_CAPTURED}
    assert len(refused) == 14


async def test_a_whole_charge_that_is_not_settled_is_voided(shop: Shop) -> None:
    request, payment = await shop.charged(amount=1000)
    refund = shop.refund(payment, 1000)

    outcome = await shop.gateway.refund(refund)

    assert outcome == Refunded(f"{payment.gateway_reference}-void", 1000, "USD")
    assert shop.given_back(refund) == "10.00"
    [transaction] = shop.fake.do("transactions", invoice=request.attempt_code)
    assert transaction["status"] == "voided"
    assert await shop.gateway.find_refund(query(refund)) == Found(outcome)
    assert await shop.gateway.fetch_refund(outcome.gateway_reference) == Found(outcome)


async def test_what_a_void_gave_back_is_not_given_back_again(shop: Shop) -> None:
    _, payment = await shop.charged(amount=1000)
    await shop.gateway.refund(shop.refund(payment, 1000))
    for amount in (1000, 400):
        again = await shop.gateway.refund(shop.refund(payment, amount))
        assert isinstance(again, RefundDeclined)
        assert again.reason is RefundDeclineReason.PAYMENT_NOT_REFUNDABLE
    shop.fake.do("settle")
    late = await shop.gateway.refund(shop.refund(payment, 1000))
    assert isinstance(late, RefundDeclined)


async def test_two_whole_refunds_at_once_give_back_once(shop: Shop) -> None:
    _, payment = await shop.charged(amount=1000)
    requests = [shop.refund(payment, 1000) for _ in range(8)]
    outcomes = await asyncio.gather(*(shop.gateway.refund(each) for each in requests))
    assert sum(isinstance(each, Refunded) for each in outcomes) == 1
    assert sum(isinstance(each, RefundDeclined) for each in outcomes) == 7
    assert sorted(shop.given_back(each) for each in requests) == ["0"] * 7 + ["10.00"]


async def test_a_part_of_what_is_not_settled_waits_and_nothing_is_sent(shop: Shop) -> None:
    _, payment = await shop.charged(amount=1000)
    refund = shop.refund(payment, 400)
    shop.asked()

    outcome = await shop.gateway.refund(refund)

    assert outcome == NotExecuted("not_settled", 3600)
    assert shop.asked() == ["getTransactionDetailsRequest"]
    assert await shop.gateway.find_refund(query(refund)) == NotFound(definitive=True)

    shop.fake.do("settle")
    assert isinstance(await shop.gateway.refund(refund), Refunded)
    assert shop.given_back(refund) == "4.00"


async def test_more_than_was_taken_is_refused_before_settlement_too(shop: Shop) -> None:
    _, payment = await shop.charged(amount=1000)
    outcome = await shop.gateway.refund(shop.refund(payment, 1001))
    assert isinstance(outcome, RefundDeclined)
    assert outcome.reason is RefundDeclineReason.EXCEEDS_CAPTURED


async def test_a_partly_captured_hold_is_whole_at_what_was_captured(shop: Shop) -> None:
    from app.gateways.requests import CaptureRequest

    held = await shop.gateway.charge(shop.request(amount=1000, is_captured=False))
    assert isinstance(held, Authorized)
    taken = await shop.gateway.capture(CaptureRequest("k", held.gateway_reference, 600, "USD"))
    assert isinstance(taken, Succeeded)
    assert isinstance(await shop.gateway.refund(shop.refund(taken, 600)), Refunded)


@pytest.mark.parametrize("behaves", ["declined_2", "held"])
async def test_what_moved_no_money_is_not_refunded(shop: Shop, behaves: str) -> None:
    outcome = await shop.gateway.charge(shop.request(behaves))
    payment = Succeeded(outcome.gateway_reference or "", 1000, "USD")
    refused = await shop.gateway.refund(shop.refund(payment, 1000))
    assert isinstance(refused, RefundDeclined)
    assert refused.reason is RefundDeclineReason.PAYMENT_NOT_REFUNDABLE


async def test_a_hold_is_voided_not_refunded(shop: Shop) -> None:
    held = await shop.gateway.charge(shop.request(is_captured=False))
    assert isinstance(held, Authorized)
    payment = Succeeded(held.gateway_reference, 1000, "USD")
    refused = await shop.gateway.refund(shop.refund(payment, 1000))
    assert isinstance(refused, RefundDeclined)
    assert refused.reason is RefundDeclineReason.PAYMENT_NOT_REFUNDABLE


@pytest.mark.parametrize("reference", ["123", "ch_no_such_charge"])
async def test_a_charge_that_never_was_is_not_refunded(shop: Shop, reference: str) -> None:
    refused = await shop.gateway.refund(shop.refund(Succeeded(reference, 1, "USD"), 1))
    assert isinstance(refused, RefundDeclined)
    assert refused.reason is RefundDeclineReason.PAYMENT_NOT_FOUND


@pytest.mark.parametrize("status", ["chargeback", "returned"])
async def test_what_a_bank_took_back_is_not_given_back_as_well(shop: Shop, status: str) -> None:
    _, payment = await shop.charged(settled=True)
    shop.fake.do("dispute", id=payment.gateway_reference, status=status)
    refused = await shop.gateway.refund(shop.refund(payment, 1000))
    assert isinstance(refused, RefundDeclined)
    assert refused.reason is RefundDeclineReason.PAYMENT_NOT_REFUNDABLE


async def test_after_half_a_year_the_gateway_credits_no_more(shop: Shop) -> None:
    _, payment = await shop.charged(settled=True)
    shop.fake.do("advance", seconds=181 * 86_400)
    refused = await shop.gateway.refund(shop.refund(payment, 1000))
    assert isinstance(refused, RefundDeclined)
    assert (refused.reason, refused.gateway_code) == (
        RefundDeclineReason.PAYMENT_NOT_REFUNDABLE,
        "54",
    )


async def test_refunds_may_be_declined_or_held(shop: Shop) -> None:
    _, payment = await shop.charged("refund_declined_2", settled=True)
    request = shop.refund(payment, 1000)
    declined = await shop.gateway.refund(request)
    assert isinstance(declined, RefundDeclined)
    assert declined.gateway_code == "2"
    assert await shop.gateway.find_refund(query(request)) == Found(declined)

    _, payment = await shop.charged("refund_held", settled=True)
    request = shop.refund(payment, 1000)
    held = await shop.gateway.refund(request)
    assert isinstance(held, RefundPending)
    shop.fake.do("decide", id=held.gateway_reference, action="approve")
    found = await shop.gateway.find_refund(query(request))
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Refunded)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize(
    ("fault", "moved"),
    [
        ({"kind": "timeout_before_effect"}, False),
        ({"kind": "timeout_after_effect"}, True),
        ({"kind": "error_500_after"}, True),
        ({"kind": "cut_body"}, True),
        ({"kind": "code_after", "code": "E00104"}, True),
        ({"kind": "code_before", "code": "E00053"}, False),
    ],
)
async def test_a_lost_refund_is_looked_up_and_never_sent_again_blindly(
    shop: Shop, settings: AccountSettings, fault: dict[str, str], moved: bool, settled: bool
) -> None:
    _, payment = await shop.charged(settled=settled)
    request = shop.refund(payment, 1000)
    shop.fake.do("faults", faults=[fault])
    hasty = impatient(settings)
    try:
        assert isinstance(await hasty.refund(request), Unknown)
    finally:
        await hasty.aclose()

    found = await shop.gateway.find_refund(query(request))

    assert shop.given_back(request) == ("10.00" if moved else "0")
    if moved:
        assert isinstance(found, Found)
        assert isinstance(found.outcome, Refunded)
    else:
        assert found == NotFound(definitive=True)


async def test_the_same_refund_twice_is_found_by_the_duplicate_window(shop: Shop) -> None:
    _, payment = await shop.charged(amount=1000, settled=True)
    request = shop.refund(payment, 400)
    first = await shop.gateway.refund(request)
    assert await shop.gateway.refund(request) == first
    assert shop.given_back(request) == "4.00"


async def test_a_refund_that_could_not_look_first_did_nothing(shop: Shop) -> None:
    _, payment = await shop.charged(settled=True)
    shop.fake.set_fault("error_500_before", operations=["lookup"])
    assert await shop.gateway.refund(shop.refund(payment, 1000)) == NotExecuted("http_500")


async def test_a_charge_that_settles_under_our_hands_is_credited(shop: Shop) -> None:
    # The void comes too late: the batch closed between our look and our call.
    _, payment = await shop.charged(amount=1000)
    request = shop.refund(payment, 1000)
    shop.fake.do("settings", settles_before_void=True)
    outcome = await shop.gateway.refund(request)
    assert isinstance(outcome, Refunded)
    assert not outcome.gateway_reference.endswith("-void")
    assert shop.given_back(request) == "10.00"


async def test_a_refund_without_our_reference_forbids_a_conclusion(shop: Shop) -> None:
    """Somebody gave the same amount back by hand, or the gateway lost our reference: either way it
    is not proved that ours was never executed.
    """
    charge, payment = await shop.charged(amount=1000, settled=True)
    by_hand = await shop.gateway.refund(shop.refund(payment, 400))
    assert isinstance(by_hand, Refunded)
    for invoice in ("", charge.attempt_code):
        shop.fake.do("rename", id=by_hand.gateway_reference, invoice=invoice)
        ours = query(shop.refund(payment, 400))
        assert await shop.gateway.find_refund(ours) == Inconclusive(
            "a_refund_without_our_reference"
        )
    other = query(shop.refund(payment, 300))
    assert await shop.gateway.find_refund(other) == NotFound(definitive=True)


async def test_a_gateway_that_gives_back_twice_is_caught(shop: Shop) -> None:
    _, payment = await shop.charged(amount=1000, settled=True)
    request = shop.refund(payment, 400)
    shop.fake.set_fault("duplicate")
    outcome = await shop.gateway.refund(request)
    found = await shop.gateway.find_refund(query(request))
    assert isinstance(found, Found)
    assert found.outcome == outcome
    assert len(found.others) == 1


async def test_an_account_in_test_mode_gives_nothing_back(shop: Shop) -> None:
    _, payment = await shop.charged(settled=True)
    shop.fake.do("settings", in_test_mode=True)
    request = shop.refund(payment, 1000)
    outcome = await shop.gateway.refund(request)
    assert isinstance(outcome, RefundDeclined)
    assert outcome.gateway_code == "test_mode"
    assert shop.given_back(request) == "0"


async def test_another_currency_is_not_sent(shop: Shop) -> None:
    _, payment = await shop.charged(settled=True)
    with pytest.raises(InvalidRequestError):
        await shop.gateway.refund(shop.refund(payment, 1000, currency="EUR"))
