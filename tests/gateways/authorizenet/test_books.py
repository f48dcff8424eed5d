"""Look-ups through the lists to their end, what is listed for reconciliation, and disputes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.dispute import DisputeStatus
from app.domain.outcome import (
    Authorized,
    Declined,
    Found,
    Inconclusive,
    NotFound,
    Pending,
    Refunded,
    Succeeded,
    Unknown,
    Voided,
)
from app.gateways.authorizenet import words
from app.gateways.base import AuthenticationError, ListingFailed
from app.gateways.reports import GatewayTransaction, TransactionKind, TransactionStatus
from app.gateways.requests import PaymentQuery, RefundQuery, TimeWindow
from tests.gateways.authorizenet.terms import Shop, code

ABSENT = NotFound(definitive=True)


def window(around: datetime, hours: float = 1) -> TimeWindow:
    return TimeWindow(around - timedelta(hours=hours), around + timedelta(hours=hours))


async def gathered(listed: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in listed]


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  what the fake's clock says


# Look-ups


async def test_a_settled_charge_is_found_without_knowing_the_customer(shop: Shop) -> None:
    request, payment = await shop.charged(settled=True)
    found = await shop.gateway.find_payment(PaymentQuery(request.attempt_code, now()))
    assert found == Found(payment)


async def test_a_charge_weeks_ago_is_found_in_its_batch(shop: Shop) -> None:
    request, payment = await shop.charged(settled=True)
    sent_at = now()
    shop.fake.do("advance", seconds=75 * 86_400)
    query = PaymentQuery(request.attempt_code, sent_at)
    assert await shop.gateway.find_payment(query) == Found(payment)
    # Without the day, only a month is looked through.
    assert await shop.gateway.find_payment(PaymentQuery(request.attempt_code)) == ABSENT


async def test_a_clock_that_is_ahead_of_the_gateways_does_not_matter(shop: Shop) -> None:
    request, payment = await shop.charged(settled=True)
    query = PaymentQuery(request.attempt_code, now() + timedelta(days=400))
    assert await shop.gateway.find_payment(query) == Found(payment)


async def test_absence_is_said_only_after_every_list_was_read(shop: Shop) -> None:
    customer, _ = shop.fake.do("method")
    shop.fake.do("settle")
    shop.asked()
    query = PaymentQuery(code(), now(), customer_reference=customer)
    assert await shop.gateway.find_payment(query) == ABSENT
    asked = shop.asked()
    assert asked[:3] == [
        "getTransactionListForCustomerRequest",
        "getUnsettledTransactionListRequest",
        "getSettledBatchListRequest",
    ]
    assert "getTransactionListRequest" in asked


@pytest.mark.parametrize("is_settled", [False, True])
async def test_lists_are_read_page_by_page(shop: Shop, is_settled: bool) -> None:
    # 2,400 strangers' charges, then ours: on the third page of a thousand.
    shop.fake.do("seed", count=2_400)
    request, payment = await shop.charged()
    if is_settled:
        shop.fake.do("settle")
    found = await shop.gateway.find_payment(PaymentQuery(request.attempt_code, now()))
    assert found == Found(payment)
    assert await shop.gateway.find_payment(PaymentQuery(code(), now())) == ABSENT
    shop.fake.do("settle")


async def test_a_customer_with_many_charges_is_read_to_the_end(shop: Shop) -> None:
    request = shop.request()
    shop.fake.do("seed", count=1_000, customer=request.customer_reference)
    payment = await shop.gateway.charge(request)
    query = PaymentQuery(request.attempt_code, customer_reference=request.customer_reference)
    assert await shop.gateway.find_payment(query) == Found(payment)
    shop.fake.do("settle")


async def test_a_list_that_breaks_off_proves_nothing(shop: Shop) -> None:
    shop.fake.do("seed", count=1_500)
    shop.fake.do("settings", hides_from_page=2)
    found = await shop.gateway.find_payment(PaymentQuery(code(), now()))
    assert found == Inconclusive("list_incomplete")
    with pytest.raises(ListingFailed):
        await gathered(shop.gateway.list_transactions(window(now())))
    shop.fake.do("settings", hides_from_page=0)
    shop.fake.do("settle")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "error_500_before"},
        {"kind": "cut_body"},
        {"kind": "error_429"},
        {"kind": "code_before", "code": "E00053"},
        {"kind": "code_before", "code": "E00001"},
    ],
)
async def test_a_look_up_that_fails_proves_nothing(shop: Shop, fault: dict[str, str]) -> None:
    request, payment = await shop.charged()
    shop.fake.do("faults", faults=[fault | {"operations": ["lookup"]}])
    gateway, reference = shop.gateway, payment.gateway_reference
    for found in (
        await gateway.find_payment(PaymentQuery(request.attempt_code)),
        await gateway.fetch_payment(reference),
        await gateway.find_refund(RefundQuery(code(), payment_reference=reference)),
        await gateway.fetch_refund(reference),
        await gateway.fetch_dispute(reference),
    ):
        assert isinstance(found, Inconclusive)


async def test_what_was_never_sent_is_not_found(shop: Shop) -> None:
    assert await shop.gateway.find_payment(PaymentQuery(code())) == ABSENT
    assert await shop.gateway.find_refund(RefundQuery(code())) == ABSENT
    for reference in ("123", "never heard of", ""):
        assert await shop.gateway.fetch_payment(reference) == ABSENT
        assert await shop.gateway.fetch_refund(reference) == ABSENT
        assert await shop.gateway.fetch_dispute(reference) == ABSENT


async def test_a_charge_is_no_refund_and_a_refund_no_charge(shop: Shop) -> None:
    _, payment = await shop.charged(settled=True)
    refund = await shop.gateway.refund(shop.refund(payment, 400))
    assert isinstance(refund, Refunded)
    assert await shop.gateway.fetch_payment(refund.gateway_reference) == ABSENT
    assert await shop.gateway.fetch_refund(payment.gateway_reference) == ABSENT
    assert await shop.gateway.fetch_refund(f"{payment.gateway_reference}-void") == ABSENT


async def test_a_reference_of_somebody_elses_charge_is_not_ours(shop: Shop) -> None:
    ours, payment = await shop.charged()
    _, theirs = await shop.charged()
    query = PaymentQuery(ours.attempt_code, gateway_reference=theirs.gateway_reference)
    assert await shop.gateway.find_payment(query) == Found(payment)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Succeeded) for status in sorted(words.CAPTURED - {"returnedItem"})),
        ("authorizedPendingCapture", Authorized),
        ("FDSPendingReview", Pending),
        ("FDSAuthorizedPendingReview", Pending),
        ("underReview", Pending),
        ("approvedReview", Pending),
        ("authorizedPendingRelease", Pending),
        ("declined", Declined),
        ("failedReview", Declined),
        ("communicationError", Declined),
        ("generalError", Declined),
        ("voided", Voided),
        ("expired", Voided),
        ("settlementError", Unknown),
        ("couldNotVoid", Unknown),
        ("aStatusOfTheFuture", Unknown),
    ],
)
async def test_every_status_means_something(shop: Shop, status: str, kind: type) -> None:
    _, payment = await shop.charged()
    shop.fake.do("status", id=payment.gateway_reference, status=status)
    found = await shop.gateway.fetch_payment(payment.gateway_reference)
    assert isinstance(found, Found)
    assert isinstance(found.outcome, kind)


async def test_without_leave_to_look_the_account_is_refused(shop: Shop) -> None:
    shop.fake.do("settings", may_report=False)
    with pytest.raises(AuthenticationError, match="Transaction Details API"):
        await shop.gateway.find_payment(PaymentQuery(code()))


# Lists


async def test_every_transaction_is_listed_once_settled_or_not(shop: Shop) -> None:
    _, old = await shop.charged(amount=1000, settled=True)
    refund = await shop.gateway.refund(shop.refund(old, 400))
    _, fresh = await shop.charged(amount=700)
    declined = await shop.gateway.charge(shop.request("declined_2"))
    held = await shop.gateway.charge(shop.request("held"))
    hold = await shop.gateway.charge(shop.request(is_captured=False))

    listed = {each.reference: each for each in await _listed(shop)}

    expected = {
        old.gateway_reference: (TransactionKind.CHARGE, TransactionStatus.SUCCEEDED, 1000),
        refund.gateway_reference: (TransactionKind.REFUND, TransactionStatus.SUCCEEDED, 400),
        fresh.gateway_reference: (TransactionKind.CHARGE, TransactionStatus.SUCCEEDED, 700),
        declined.gateway_reference: (TransactionKind.CHARGE, TransactionStatus.FAILED, 1000),
        held.gateway_reference: (TransactionKind.CHARGE, TransactionStatus.PENDING, 1000),
        hold.gateway_reference: (TransactionKind.CHARGE, TransactionStatus.AUTHORIZED, 1000),
    }
    shown = {name: (each.kind, each.status, each.amount_minor) for name, each in listed.items()}
    assert {name: shown[name] for name in expected} == expected
    assert listed[refund.gateway_reference].payment_reference == old.gateway_reference
    assert len(await _listed(shop)) == len(listed)


async def test_what_settles_while_it_is_listed_is_listed_once(shop: Shop) -> None:
    _, payment = await shop.charged()
    shop.fake.do("settings", settles_after_listing=True)
    listed = [each.reference for each in await _listed(shop)]
    assert listed == [payment.gateway_reference]
    shop.fake.do("seed", count=1_500)
    listed = [each.reference for each in await _listed(shop)]
    assert len(listed) == len(set(listed)) == 1_501


async def _listed(shop: Shop) -> list[GatewayTransaction]:
    return await gathered(shop.gateway.list_transactions(window(now())))


async def test_what_could_not_be_settled_is_listed_as_failed_and_does_not_stay_pending(
    shop: Shop,
) -> None:
    """The batch failed: no money moved, whatever was answered when it was captured."""
    _, payment = await shop.charged(amount=1000)
    shop.fake.do("status", id=payment.gateway_reference, status="settlementError")
    [charge] = [each for each in await _listed(shop) if each.reference == payment.gateway_reference]
    assert (charge.kind, charge.status) == (TransactionKind.CHARGE, TransactionStatus.FAILED)


async def test_a_charge_given_back_by_a_void_is_listed_as_both(shop: Shop) -> None:
    request, payment = await shop.charged(amount=1000)
    await shop.gateway.refund(shop.refund(payment, 1000))
    mine = [each for each in await _listed(shop) if payment.gateway_reference in each.reference]
    charge, refund = sorted(mine, key=lambda each: each.kind)
    assert (charge.status, charge.amount_minor, charge.refunded_minor) == (
        TransactionStatus.SUCCEEDED,
        1000,
        1000,
    )
    assert charge.our_reference == request.attempt_code
    assert (refund.reference, refund.payment_reference, refund.amount_minor) == (
        f"{payment.gateway_reference}-void",
        payment.gateway_reference,
        1000,
    )


async def test_a_hold_that_was_given_up_is_listed_so(shop: Shop) -> None:
    from app.gateways.requests import VoidRequest

    hold = await shop.gateway.charge(shop.request(is_captured=False))
    assert isinstance(hold, Authorized)
    await shop.gateway.void(VoidRequest("key", hold.gateway_reference))
    [listed] = [e for e in await _listed(shop) if e.reference == hold.gateway_reference]
    assert (listed.status, listed.refunded_minor) == (TransactionStatus.VOIDED, None)


async def test_only_the_windows_transactions_are_listed(shop: Shop) -> None:
    _, payment = await shop.charged(settled=True)
    past = TimeWindow(now() - timedelta(days=40), now() - timedelta(hours=1))
    listed = await gathered(shop.gateway.list_transactions(past))
    assert payment.gateway_reference not in {each.reference for each in listed}


async def test_a_charge_that_settled_days_later_is_listed_on_its_day(shop: Shop) -> None:
    _, payment = await shop.charged()
    its_day = window(now())
    shop.fake.do("advance", seconds=5 * 86_400)
    shop.fake.do("settle")
    listed = await gathered(shop.gateway.list_transactions(its_day))
    assert payment.gateway_reference in {each.reference for each in listed}


async def test_a_list_that_fails_says_so(shop: Shop) -> None:
    shop.fake.set_fault("error_500_before", operations=["lookup"])
    with pytest.raises(ListingFailed):
        await _listed(shop)
    with pytest.raises(ListingFailed):
        await gathered(shop.gateway.list_disputes(window(now())))


# Disputes


@pytest.mark.parametrize(
    ("happened", "status", "withdrawn"),
    [
        ("chargeback", DisputeStatus.NEEDS_RESPONSE, 1000),
        ("chargebackReversal", DisputeStatus.WON, 0),
        ("returned", DisputeStatus.LOST, 1000),
    ],
)
async def test_disputes_are_found_in_the_batches(
    shop: Shop, happened: str, status: DisputeStatus, withdrawn: int
) -> None:
    _, payment = await shop.charged(amount=1000, settled=True)
    reference = payment.gateway_reference
    assert await shop.gateway.fetch_dispute(reference) == ABSENT
    shop.fake.do("dispute", id=reference, status=happened)

    listed = await gathered(shop.gateway.list_disputes(window(now())))

    [report] = [each for each in listed if each.gateway_reference == reference]
    assert report.payment_reference == reference
    assert (report.status, report.amount_minor, report.withdrawn_minor) == (status, 1000, withdrawn)
    assert await shop.gateway.fetch_dispute(reference) == Found(report)
    # What a bank took back was taken first.
    found = await shop.gateway.fetch_payment(reference)
    assert isinstance(found, Found)
    assert found.outcome == payment


async def test_a_chargeback_of_an_old_batch_is_found(shop: Shop) -> None:
    _, payment = await shop.charged(settled=True)
    shop.fake.do("dispute", id=payment.gateway_reference, status="chargeback")
    later = window(now() + timedelta(days=100))
    listed = await gathered(shop.gateway.list_disputes(later))
    assert payment.gateway_reference in {each.gateway_reference for each in listed}


async def test_batches_without_disputes_are_not_read(shop: Shop) -> None:
    shop.fake.do("seed", count=10, is_settled=True)
    batches = len(await _batches_read(shop))
    shop.fake.do("seed", count=10, is_settled=True)
    assert len(await _batches_read(shop)) == batches


async def _batches_read(shop: Shop) -> list[str]:
    shop.asked()
    await gathered(shop.gateway.list_disputes(window(now())))
    return [each for each in shop.asked() if each == "getTransactionListRequest"]
