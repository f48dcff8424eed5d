"""What Stripe's adapter makes of answers that Stripe should never give, and what it never says."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from app.domain.dispute import DisputeStatus
from app.domain.outcome import (
    Declined,
    Found,
    Inconclusive,
    NotFound,
    Pending,
    RefundPending,
    RequiresAction,
    Succeeded,
    Unknown,
)
from app.domain.vault import MethodType
from app.gateways.base import AccountMode, AccountSettings, GatewayError, InvalidRequestError
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    MethodReference,
    PaymentQuery,
    RefundQuery,
    SetupCompletion,
    SetupRequest,
    VoidRequest,
)
from app.gateways.stripe import StripeGateway, lookups
from app.gateways.stripe.reading import ON_SESSION
from app.gateways.stripe.wire import Wire
from app.log import redact
from tests.gateways.sockets import heard, server
from tests.gateways.stripe import CUSTOMER, new_code, refund_of

SECRET = "sk_test_51CANARYoftheSecretKey"
CLIENT_SECRET = "pi_1_secret_CANARY"
REQUEST = ChargeRequest(
    attempt_code=new_code(),
    idempotency_key="att_1",
    amount_minor=1999,
    currency="EUR",
    payment_method_reference="pm_1",
    invoice_number="INV-1",
    description="Invoice INV-1",
    customer_reference="cus_1",
)
REFUND = refund_of("pi_1", 400)
MOVED = {
    "object": "balance_transaction",
    "id": "txn_1",
    "amount": 1999,
    "fee": 74,
    "currency": "eur",
}
CHARGE = {
    "object": "charge",
    "id": "ch_1",
    "livemode": False,
    "status": "succeeded",
    "amount": 1999,
    "amount_captured": 1999,
    "amount_refunded": 0,
    "captured": True,
    "currency": "eur",
    "created": 1,
    "payment_intent": None,
    "balance_transaction": MOVED,
    "metadata": {},
    "payment_method_details": {"type": "card", "card": {"network_transaction_id": "nti_1"}},
}
INTENT = {
    "object": "payment_intent",
    "id": "pi_1",
    "livemode": False,
    "status": "succeeded",
    "amount": 1999,
    "amount_capturable": 0,
    "amount_received": 1999,
    "currency": "eur",
    "created": 1,
    "metadata": {"perennial_attempt": REQUEST.attempt_code},
    "client_secret": CLIENT_SECRET,
    "latest_charge": CHARGE,
}
BACK = {
    "object": "refund",
    "id": "re_1",
    "status": "succeeded",
    "amount": 400,
    "currency": "eur",
    "created": 1,
    "metadata": {"perennial_refund": REFUND.refund_code},
}

DISPUTE = {
    "object": "dispute",
    "id": "du_1",
    "livemode": False,
    "status": "won",
    "amount": 1999,
    "currency": "eur",
    "created": 1,
    "charge": "ch_1",
    "payment_intent": "pi_1",
    "balance_transactions": [],
    "evidence_details": {},
}


def page(*data: Any, more: bool = False) -> dict[str, Any]:
    return {"object": "list", "has_more": more, "data": data}


def account(url: str) -> AccountSettings:
    credentials = {"secret_key": SecretStr(SECRET)}
    return AccountSettings(AccountMode.TEST, credentials=credentials, base_url=url)


@asynccontextmanager
async def answering(status: int, content: Any) -> AsyncIterator[StripeGateway]:
    """The adapter, facing a server that answers every request like this."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    head = f"HTTP/1.1 {status} So\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(head + body)
        await writer.drain()

    async with server(talk) as url:
        gateway = StripeGateway(account(url))
        try:
            yield gateway
        finally:
            await gateway.aclose()


@pytest.mark.parametrize(
    ("lie", "cause"),
    [
        ({"amount": 199_900}, "answer_for_another_charge"),
        ({"currency": "usd"}, "answer_for_another_charge"),
        ({"metadata": {"perennial_attempt": "another"}}, "answer_for_another_charge"),
        ({"metadata": {}}, "answer_for_another_charge"),
        ({"livemode": True}, "answer_of_other_mode"),
        ({"amount_received": 0}, "nothing_received"),
        ({"status": "requires_confirmation"}, "requires_confirmation"),
        ({"status": "requires_payment_method"}, "requires_payment_method"),
    ],
)
async def test_an_answer_that_does_not_fit_is_unknown(lie: dict[str, Any], cause: str) -> None:
    async with answering(200, INTENT | lie) as gateway:
        outcome = await gateway.charge(REQUEST)
    assert isinstance(outcome, Unknown)
    assert outcome.cause == cause


@pytest.mark.parametrize(
    ("status", "content", "cause"),
    [
        (200, b"<html>", "unreadable_answer"),
        (200, b"", "unreadable_answer"),
        (200, INTENT | {"amount_received": 1999.0}, "unreadable_answer"),
        (200, INTENT | {"amount_received": "1999"}, "unreadable_answer"),
        (200, INTENT | {"status": "settling"}, "unreadable_answer"),
        (200, INTENT | {"livemode": 0}, "unreadable_answer"),
        (200, CHARGE, "unreadable_answer"),
        (200, page(INTENT | {"metadata": {}}, more=True), "unreadable_answer"),
        (201, INTENT, "http_201"),
        (402, INTENT, "unreadable_answer"),
        (400, b"<html>blocked</html>", "unreadable_answer"),
        (404, b"", "unreadable_answer"),
        (
            402,
            {"error": {"type": "card_error", "payment_intent": INTENT | {"status": "settling"}}},
            "unreadable_answer",
        ),
        (
            402,
            {"error": {"type": "card_error", "payment_intent": INTENT | {"livemode": True}}},
            "answer_of_other_mode",
        ),
    ],
)
async def test_an_answer_that_makes_no_sense_is_unknown(
    status: int, content: Any, cause: str
) -> None:
    async with answering(status, content) as gateway:
        assert await gateway.charge(REQUEST) == Unknown(cause)
        found = await gateway.find_payment(PaymentQuery(REQUEST.attempt_code))
    assert not isinstance(found, Found)
    assert found != NotFound(definitive=True)


async def test_a_refusal_that_brings_a_payment_that_succeeded_is_a_success() -> None:
    error = {"type": "invalid_request_error", "code": "odd", "payment_intent": INTENT}
    async with answering(400, {"error": error}) as gateway:
        outcome = await gateway.charge(REQUEST)
    assert outcome == Succeeded("pi_1", 1999, "EUR", "nti_1", 74)


async def test_a_refusal_that_brings_a_payment_without_its_reason_gives_the_reason() -> None:
    intent = INTENT | {"status": "requires_payment_method", "latest_charge": None}
    error = {"type": "card_error", "code": "expired_card", "payment_intent": intent}
    async with answering(402, {"error": error}) as gateway:
        outcome = await gateway.charge(REQUEST)
    assert isinstance(outcome, Declined)
    assert (outcome.gateway_reference, outcome.info.gateway_code) == ("pi_1", "expired_card")


async def test_a_decline_without_a_payment_is_one_all_the_same() -> None:
    error = {"type": "card_error", "code": "card_declined", "decline_code": "lost_card"}
    async with answering(402, {"error": error}) as gateway:
        outcome = await gateway.charge(REQUEST)
    assert isinstance(outcome, Declined)
    assert outcome.info.gateway_code == "lost_card"


async def test_a_card_of_india_says_by_when_it_will_be_decided() -> None:
    notice = {"type": "card", "card": {"customer_notification": {"completes_at": 1_800_000_000}}}
    intent = INTENT | {"status": "processing", "processing": notice, "latest_charge": "ch_1"}
    async with answering(200, intent) as gateway:
        outcome = await gateway.charge(REQUEST)
    assert isinstance(outcome, Pending)
    assert outcome.expected_by is not None
    assert outcome.expected_by.timestamp() == 1_800_000_000


@pytest.mark.parametrize(
    ("lie", "cause"),
    [
        ({"amount": 40_000}, "answer_for_another_refund"),
        ({"currency": "usd"}, "answer_for_another_refund"),
        ({"metadata": None}, "answer_for_another_refund"),
        ({"status": "sleeping"}, "unreadable_answer"),
        ({"amount": 400.0}, "unreadable_answer"),
    ],
)
async def test_an_answer_that_speaks_of_another_refund_is_unknown(
    lie: dict[str, Any], cause: str
) -> None:
    async with answering(200, BACK | lie) as gateway:
        outcome = await gateway.refund(REFUND)
    assert isinstance(outcome, Unknown)
    assert outcome.cause == cause


async def test_an_amount_that_minor_units_cannot_express_is_not_rounded() -> None:
    odd = INTENT | {"currency": "isk", "amount": 150, "amount_received": 150}
    async with answering(200, odd) as gateway:
        found = await gateway.fetch_payment("pi_1")
    assert isinstance(found, Found)
    assert found.outcome == Unknown("unreadable_amount", "pi_1")


# Look-ups


@pytest.mark.parametrize("is_marked", [False, True])
async def test_a_look_up_hands_out_nothing_of_a_payment_that_is_not_marked(is_marked: bool) -> None:
    """Its next failure would count as a decline, and the invoice be charged anew beside it."""
    page_of_the_bank = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank/"}}
    intent = INTENT | {"status": "requires_action", "next_action": page_of_the_bank}
    if is_marked:
        intent["metadata"] = {"perennial_attempt": REQUEST.attempt_code, ON_SESSION: "yes"}
    waiting = RequiresAction("pi_1", "https://bank/", CLIENT_SECRET)
    async with answering(200, intent) as gateway:
        found = await gateway.fetch_payment("pi_1")
    assert isinstance(found, Found)
    assert found.outcome == (waiting if is_marked else RequiresAction("pi_1"))


async def test_of_several_payments_the_one_that_moved_money_counts() -> None:
    declined = INTENT | {"id": "pi_0", "status": "canceled"}
    second = INTENT | {"id": "pi_2"}
    async with answering(200, page(declined, INTENT, second)) as gateway:
        found = await gateway.find_payment(PaymentQuery(REQUEST.attempt_code))
    assert found == Found(Succeeded("pi_1", 1999, "EUR", "nti_1", 74), others=("pi_2",))


async def test_of_several_refunds_the_one_under_way_counts_more_than_one_that_failed() -> None:
    failed = BACK | {"id": "re_0", "status": "failed"}
    waiting = BACK | {"status": "pending"}
    async with answering(200, page(failed, waiting)) as gateway:
        found = await gateway.find_refund(RefundQuery(REFUND.refund_code))
    assert found == Found(RefundPending("re_1"))


async def test_a_list_that_never_ends_proves_no_absence() -> None:
    other = INTENT | {"metadata": {}}
    async with answering(200, page(other, more=True)) as gateway:
        found = await gateway.find_payment(PaymentQuery(REQUEST.attempt_code))
    assert found == NotFound(definitive=False)


async def test_a_page_that_says_there_is_more_and_shows_nothing_proves_no_absence() -> None:
    async with answering(200, page(more=True)) as gateway:
        found = await gateway.find_payment(PaymentQuery(REQUEST.attempt_code))
    assert found == NotFound(definitive=False)


async def test_a_payment_of_the_other_mode_in_a_list_proves_nothing() -> None:
    async with answering(200, page(INTENT | {"livemode": True})) as gateway:
        found = await gateway.find_payment(PaymentQuery(REQUEST.attempt_code))
    assert found == Inconclusive("answer_of_other_mode")


@pytest.mark.parametrize(
    ("mode", "narrowed"), [(AccountMode.LIVE, True), (AccountMode.TEST, False)]
)
async def test_time_narrows_a_search_in_live_mode_only(mode: AccountMode, narrowed: bool) -> None:
    """In test mode our clock may be anywhere: a merchant's test clock is."""
    asked: list[str] = []
    body = orjson.dumps(page())

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await heard(reader)).decode())
        writer.write(b"HTTP/1.1 200 So\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()

    sent_at = datetime(2026, 11, 29, tzinfo=UTC)
    async with server(talk) as url:
        # The adapter itself never lets a live account speak to another address than Stripe's.
        wire = Wire(AccountSettings(mode, base_url=url), "sk_of_some_mode")
        query = PaymentQuery(REQUEST.attempt_code, created_at=sent_at)
        assert await lookups.find_payment(wire, query) == NotFound(definitive=True)
        await wire.aclose()

    assert len(asked) == 1
    hour_before = int(sent_at.timestamp()) - 3600
    assert (f"created%5Bgte%5D={hour_before}" in asked[0]) is narrowed
    assert ("created" in asked[0].splitlines()[0]) is narrowed


async def test_a_charge_without_a_payment_is_read_by_itself() -> None:
    for change, kind in (
        ({}, Succeeded),
        ({"status": "pending"}, Pending),
        ({"status": "failed", "failure_code": "expired_card"}, Declined),
    ):
        async with answering(200, CHARGE | change) as gateway:
            found = await gateway.fetch_payment("ch_1")
        assert isinstance(found, Found)
        assert isinstance(found.outcome, kind)


@pytest.mark.parametrize(
    ("movements", "status"),
    [
        ([], DisputeStatus.CLOSED),
        ([MOVED | {"amount": -1999, "fee": 0}], DisputeStatus.LOST),
    ],
)
async def test_a_dispute_that_was_prevented_by_paying_it_is_lost(
    movements: list[Any], status: DisputeStatus
) -> None:
    """What is blocked takes nothing; what is resolved before it begins is paid for good."""
    prevented = DISPUTE | {"status": "prevented", "balance_transactions": movements}
    async with answering(200, prevented) as gateway:
        found = await gateway.fetch_dispute("du_1")
    assert isinstance(found, Found)
    assert found.outcome.status is status


@pytest.mark.parametrize(
    ("moved", "withdrawn"),
    [
        ([-2150], 1999),
        ([-2150, 2090], 0),  # won, and given back at the rate of that day
        ([-2150, 2190], 0),
        ([-2150, 2190, -2150], 1999),
    ],
)
async def test_what_a_dispute_withdrew_in_another_currency_is_all_of_it_or_nothing(
    moved: list[int], withdrawn: int
) -> None:
    movements = [
        MOVED | {"id": f"txn_{n}", "amount": amount, "fee": 0, "currency": "usd"}
        for n, amount in enumerate(moved)
    ]
    async with answering(200, DISPUTE | {"balance_transactions": movements}) as gateway:
        found = await gateway.fetch_dispute("du_1")
    assert isinstance(found, Found)
    assert (found.outcome.withdrawn_minor, found.outcome.fee_minor) == (withdrawn, None)


async def test_wallets_and_other_kinds_of_methods_are_told_apart() -> None:
    method = {"object": "payment_method", "id": "pm_1", "livemode": False, "customer": "cus_1"}
    for said, kind, brand in (
        ({"type": "link"}, MethodType.WALLET, "link"),
        ({"type": "sepa_debit", "sepa_debit": {"last4": "3000"}}, MethodType.BANK_ACCOUNT, None),
        ({"type": "upi"}, MethodType.MANDATE, "upi"),
    ):
        async with answering(200, method | said) as gateway:
            found = await gateway.get_payment_method(MethodReference("pm_1"))
        assert isinstance(found, Found)
        assert (found.outcome.type, found.outcome.brand) == (kind, brand)


# What is never said


CANARIES = (SECRET, CLIENT_SECRET, "4242424242424242", "whsec_CANARY")


async def everything(gateway: StripeGateway) -> list[str]:
    """All that the adapter says, and all that its exceptions say, about one and the same answer."""
    setup = SetupRequest("code", "key", CUSTOMER, "cus_1")
    completion = SetupCompletion("code", "key", "seti_1", CUSTOMER, "cus_1")
    method = MethodReference("pm_1")
    calls = (
        gateway.charge(REQUEST),
        gateway.capture(CaptureRequest("key", "pi_1", 1, "EUR")),
        gateway.void(VoidRequest("key", "pi_1")),
        gateway.refund(REFUND),
        gateway.start_setup(setup),
        gateway.complete_setup(completion),
        gateway.get_payment_method(method),
        gateway.detach_payment_method(method, idempotency_key="key"),
        gateway.find_payment(PaymentQuery("code")),
        gateway.fetch_payment("pi_1"),
        gateway.find_refund(RefundQuery("code")),
        gateway.fetch_dispute("du_1"),
        gateway.check_credentials(),
    )
    said = []
    for call in calls:
        try:
            said.append(repr(await call))
        except GatewayError as error:
            told = (repr(error), str(error), *traceback.format_exception(error))
            said += [*told, repr(vars(error))]
    return said


@pytest.mark.parametrize("status", [200, 400, 401, 402, 403, 404, 409, 429, 500])
async def test_no_secret_and_no_card_number_is_ever_said(status: int) -> None:
    told = " ".join(CANARIES)
    error = {"type": "invalid_request_error", "code": "odd", "param": "a", "message": told}
    waiting = INTENT | {"status": "requires_action"}
    for content in ({"error": error}, told.encode(), waiting, INTENT | {"status": told}):
        async with answering(status, content) as gateway:
            said = "\n".join([*await everything(gateway), repr(gateway), repr(vars(gateway))])
        for canary in CANARIES:
            assert canary not in said


async def test_a_message_of_stripes_is_passed_on_without_what_is_secret() -> None:
    told = f"No such thing for {SECRET} with 4242 4242 4242 4242, {CLIENT_SECRET}." + "x" * 1000
    error = {"type": "invalid_request_error", "code": "odd", "param": "a", "message": told}
    async with answering(400, {"error": error}) as gateway:
        with pytest.raises(InvalidRequestError) as refused:
            await gateway.charge(REQUEST)
    assert str(refused.value).startswith("No such thing for sk_test_[redacted] with [card …4242]")
    assert len(str(refused.value)) <= 300


@pytest.mark.parametrize("secret", ["sk_live_51a", "rk_test_51a", "whsec_5a", "seti_1a_secret_9b"])
def test_logs_know_stripes_secrets(secret: str) -> None:
    assert secret not in redact(f"it was {secret}, I think")
