"""Answers of Authorize.net's that prove less than they seem to, judged by the fake's own books."""

from app.domain.outcome import Authorized, Found, Refunded, Succeeded, Unknown
from app.gateways.base import AccountSettings
from app.gateways.requests import CaptureRequest, PaymentQuery, RefundQuery
from tests.gateways.authorizenet.terms import Shop, impatient


async def test_an_approval_without_a_transaction_is_not_the_test_modes(shop: Shop) -> None:
    request = shop.request()
    shop.fake.set_fault("without_id", count=1)
    assert await shop.gateway.charge(request) == Unknown("approved_without_transaction")
    assert shop.taken(request) == "10.00"
    found = await shop.gateway.find_payment(PaymentQuery(request.attempt_code))
    assert isinstance(found, Found)
    assert isinstance(found.outcome, Succeeded)


async def test_a_credit_without_a_transaction_is_not_the_test_modes(shop: Shop) -> None:
    _, payment = await shop.charged(settled=True)
    request = shop.refund(payment, 400)
    shop.fake.set_fault("without_id", count=1)
    assert await shop.gateway.refund(request) == Unknown("approved_without_transaction")
    assert shop.given_back(request) == "4.00"


async def test_a_duplicate_that_may_not_be_looked_up_exists_all_the_same(shop: Shop) -> None:
    """Refused credentials would say that nothing was executed."""
    request = shop.request()
    assert isinstance(await shop.gateway.charge(request), Succeeded)
    shop.fake.do("settings", may_report=False)
    assert await shop.gateway.charge(request) == Unknown("duplicate_not_shown")


async def test_a_duplicate_credit_that_may_not_be_looked_up_exists_all_the_same(
    shop: Shop,
) -> None:
    _, payment = await shop.charged(settled=True)
    request = shop.refund(payment, 400)
    assert isinstance(await shop.gateway.refund(request), Refunded)
    fault = {"kind": "code_before", "code": "E00011", "operations": ["lookup"], "skip": 1}
    shop.fake.do("faults", faults=[fault])
    assert await shop.gateway.refund(request) == Unknown("duplicate_not_shown")
    assert shop.given_back(request) == "4.00"


async def test_a_capture_that_was_made_before_and_does_not_show_is_no_decline(shop: Shop) -> None:
    request = shop.request(is_captured=False)
    hold = await shop.gateway.charge(request)
    assert isinstance(hold, Authorized)
    capture = CaptureRequest("key", hold.gateway_reference, 1000, "USD")
    assert isinstance(await shop.gateway.capture(capture), Succeeded)
    shop.fake.do("settings", hides_captures=True)
    outcome = await shop.gateway.capture(capture)
    assert outcome == Unknown("captured_but_not_shown", hold.gateway_reference)
    assert shop.taken(request) == "10.00"


async def test_a_lost_void_of_a_captured_hold_is_found_as_the_refund_it_was(
    shop: Shop, settings: AccountSettings
) -> None:
    hold = await shop.gateway.charge(shop.request(is_captured=False))
    assert isinstance(hold, Authorized)
    taken = await shop.gateway.capture(CaptureRequest("key", hold.gateway_reference, 600, "USD"))
    assert isinstance(taken, Succeeded)
    request = shop.refund(taken, 600)
    shop.fake.set_fault("timeout_after_effect")
    hasty = impatient(settings)
    try:
        assert isinstance(await hasty.refund(request), Unknown)
    finally:
        await hasty.aclose()
    assert shop.given_back(request) == "6.00"
    reference = f"{taken.gateway_reference}-void"
    query = RefundQuery(
        request.refund_code, payment_reference=taken.gateway_reference, amount_minor=600
    )
    assert await shop.gateway.find_refund(query) == Found(Refunded(reference, 600, "USD"))
    assert await shop.gateway.fetch_refund(reference) == Found(Refunded(reference, 600, "USD"))
