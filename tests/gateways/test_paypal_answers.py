"""What the adapter makes of answers that PayPal should never give, and of its words one by one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from paypalserversdk.models.payment_advice_code import PaymentAdviceCode
from paypalserversdk.models.processor_response_code import ProcessorResponseCode
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.currency import EXPONENTS
from app.domain.outcome import (
    Authorized,
    DeclineAdvice,
    DeclineCategory,
    Declined,
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    RefundDeclined,
    RequiresAction,
    Succeeded,
    Unknown,
    Voided,
)
from app.gateways.base import AccountMode, AccountSettings, InvalidRequestError, ListingFailed
from app.gateways.paypal import amounts, declines, moments
from app.gateways.paypal.amounts import Amount, UnreadableAmount
from app.gateways.paypal.gateway import PayPalGateway
from app.gateways.paypal.references import Kind, Reference, request_id
from app.gateways.registry import open_gateway
from app.gateways.requests import (
    CaptureRequest,
    MethodReference,
    PaymentQuery,
    TimeWindow,
    VoidRequest,
)
from tests.gateways.fakes.paypal.server import CLIENT_ID
from tests.gateways.oracles import paypal_spec
from tests.gateways.paypal import PayPalProcess
from tests.gateways.sockets import heard, server
from tests.gateways.test_paypal_charges import charge_of, refund_of

REQUEST = charge_of("wallet-ok")
REFUND = refund_of("CAP1", 400)
SECRET = "E" * 40
MONEY = {"currency_code": "EUR", "value": "19.99"}
CAPTURE: dict[str, Any] = {
    "id": "CAP1",
    "status": "COMPLETED",
    "amount": MONEY,
    "invoice_id": REQUEST.attempt_code,
    "seller_receivable_breakdown": {"paypal_fee": {"currency_code": "EUR", "value": "0.94"}},
}
REFUNDED: dict[str, Any] = {
    "id": "REF1",
    "status": "COMPLETED",
    "amount": {"currency_code": "EUR", "value": "4.00"},
    "invoice_id": REFUND.refund_code,
}


def order_of(*captures: dict[str, Any], status: str = "COMPLETED", **unit: Any) -> dict[str, Any]:
    payments = {"captures": list(captures)} if captures else {}
    whole = {"amount": MONEY, "invoice_id": REQUEST.attempt_code, "payments": payments} | unit
    return {"id": "ORD1", "intent": "CAPTURE", "status": status, "purchase_units": [whole]}


@asynccontextmanager
async def answering(status: int, content: Any, **options: str) -> AsyncIterator[PayPalGateway]:
    """The adapter, facing a server that gives it a token and then always this answer."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    token = orjson.dumps({"access_token": "t", "expires_in": 3600})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(100):
            request = await heard(reader)
            is_token = b"/v1/oauth2/token" in request
            said, code = (token, 200) if is_token else (body, status)
            head = f"HTTP/1.1 {code} So\r\nContent-Length: {len(said)}\r\n"
            writer.write(f"{head}PayPal-Debug-Id: f1a2b3\r\n\r\n".encode() + said)
            await writer.drain()

    async with server(talk) as url:
        account = AccountSettings(
            AccountMode.TEST,
            credentials={"client_secret": SecretStr(SECRET)},
            options={"client_id": CLIENT_ID} | options,
            base_url=url,
        )
        gateway = open_gateway("paypal", account)
        assert isinstance(gateway, PayPalGateway)
        try:
            yield gateway
        finally:
            await gateway.aclose()


def problem(status: int, *issues: str, name: str = "UNPROCESSABLE_ENTITY") -> tuple[int, Any]:
    return status, {"name": name, "details": [{"issue": one, "value": "4111"} for one in issues]}


# ── answers that speak of something else ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "unit",
    [
        {"amount": {"currency_code": "EUR", "value": "199.90"}},
        {"amount": {"currency_code": "USD", "value": "19.99"}},
        {"invoice_id": "another"},
        {"invoice_id": None},
        {"amount": {"currency_code": "EUR", "value": "19.999"}},
    ],
)
async def test_an_order_for_another_charge_is_unknown(unit: dict[str, Any]) -> None:
    async with answering(201, order_of(CAPTURE, **unit)) as gateway:
        outcome = await gateway.charge(REQUEST)
    assert outcome == Unknown("answer_for_another_charge", "order:ORD1")


async def test_what_was_really_taken_is_told_and_not_what_was_asked_for() -> None:
    less = CAPTURE | {"amount": {"currency_code": "EUR", "value": "10.00"}}
    async with answering(201, order_of(less)) as gateway:
        outcome = await gateway.charge(REQUEST)
    assert outcome == Succeeded("CAP1", 1000, "EUR", None, 94)


@pytest.mark.parametrize(
    "lie", [{"amount": MONEY}, {"invoice_id": "another"}, {"invoice_id": None, "custom_id": None}]
)
async def test_a_refund_of_something_else_is_unknown(lie: dict[str, Any]) -> None:
    async with answering(201, REFUNDED | lie) as gateway:
        outcome = await gateway.refund(REFUND)
    assert outcome == Unknown("answer_for_another_refund", "REF1")


async def test_a_capture_of_another_amount_is_unknown() -> None:
    async with answering(201, CAPTURE) as gateway:
        outcome = await gateway.capture(CaptureRequest("k", "authorization:A", 500, "EUR"))
    assert outcome == Unknown("answer_for_another_capture", "CAP1")


@pytest.mark.parametrize(
    ("status", "content", "cause"),
    [
        (201, b"<html>", "unreadable_answer"),
        (201, b"", "unreadable_answer"),
        (201, b"null", "unreadable_answer"),
        (201, {"id": "ORD1"}, "unreadable_answer"),
        (201, order_of(CAPTURE) | {"status": "SETTLING"}, "unreadable_answer"),
        (201, order_of(CAPTURE | {"status": "ODD"}), "unreadable_answer"),
        (
            201,
            order_of(CAPTURE | {"amount": {"currency_code": "EUR", "value": 19.99}}),
            "unreadable_answer",
        ),
        (
            201,
            order_of(CAPTURE | {"amount": {"currency_code": "QQQ", "value": "1"}}),
            "unreadable_amount",
        ),
        (
            201,
            order_of(CAPTURE | {"amount": {"currency_code": "EUR", "value": "-1"}}),
            "unreadable_amount",
        ),
        (201, order_of(), "completed_without_payment"),
        (201, {"id": "ORD1", "status": "COMPLETED"}, "incomplete_answer"),
        (400, b"<html>blocked</html>", "unreadable_answer"),
        (404, b"", "unreadable_answer"),
        (206, b"", "http_206"),
        (302, b"", "http_302"),
        (408, b"", "http_408"),
        (500, order_of(CAPTURE), "http_500"),
        (502, b"", "http_502"),
        (503, {"name": "SERVICE_UNAVAILABLE"}, "http_503"),
        (409, {"name": "RESOURCE_CONFLICT"}, "still_running"),
        (*problem(422, "DUPLICATE_INVOICE_ID"), "duplicate_invoice_id"),
        (*problem(422, "ORDER_ALREADY_CAPTURED", "INSTRUMENT_DECLINED"), "order_already_captured"),
        (
            *problem(422, "INSTRUMENT_DECLINED", "PREVIOUS_REQUEST_IN_PROGRESS"),
            "previous_request_in_progress",
        ),
    ],
)
async def test_an_answer_that_is_not_definite_is_unknown(
    status: int, content: Any, cause: str
) -> None:
    async with answering(status, content) as gateway:
        outcome = await gateway.charge(REQUEST)
        found = await gateway.fetch_payment("CAP1")
    assert isinstance(outcome, Unknown)
    assert outcome.cause == cause
    assert isinstance(found, Inconclusive)


@pytest.mark.parametrize(
    ("status", "payments", "kind"),
    [
        ("VOIDED", (), Voided),
        ("SAVED", (), Authorized),
        ("APPROVED", (), Authorized),
        ("CREATED", (), RequiresAction),
        ("COMPLETED", (CAPTURE | {"status": "REFUNDED"},), Succeeded),
        ("COMPLETED", (CAPTURE | {"status": "FAILED"},), Declined),
        ("COMPLETED", (CAPTURE | {"status": "DECLINED"}, CAPTURE), Succeeded),
    ],
)
async def test_it_is_the_capture_that_says_whether_money_moved(
    status: str, payments: tuple[dict[str, Any], ...], kind: type
) -> None:
    async with answering(200, order_of(*payments, status=status)) as gateway:
        found = await gateway.fetch_payment("order:ORD1")
    assert isinstance(found, Found)
    assert isinstance(found.outcome, kind)
    assert found.reference == REQUEST.attempt_code


async def test_of_several_captures_the_others_that_moved_money_are_named() -> None:
    second, third = CAPTURE | {"id": "CAP2"}, CAPTURE | {"id": "CAP3", "status": "DECLINED"}
    async with answering(200, order_of(third, CAPTURE, second)) as gateway:
        found = await gateway.fetch_payment("order:ORD1")
    assert found == Found(Succeeded("CAP1", 1999, "EUR", None, 94), ("CAP2",), REQUEST.attempt_code)


@pytest.mark.parametrize(("pages", "is_whole"), [(1, True), (None, False)])
async def test_a_report_that_does_not_say_how_many_pages_it_has_proves_no_absence(
    pages: int | None, is_whole: bool
) -> None:
    """The specification requires no count of them: what is shown may be the first of many."""
    at = moments.write(SystemClock().now())
    row = {
        "transaction_id": "T1",
        "transaction_event_code": "T0006",
        "transaction_status": "S",
        "transaction_amount": {"currency_code": "EUR", "value": "1.00"},
        "transaction_initiation_date": at,
        "invoice_id": "somebody-elses",
    }
    page = {"transaction_details": [{"transaction_info": row}], "last_refreshed_datetime": at}
    counted = {"total_pages": pages} if pages is not None else {}
    async with answering(200, page | counted) as gateway:
        found = await gateway.find_payment(PaymentQuery("ours"))
        window = TimeWindow(SystemClock().now() - timedelta(hours=1), SystemClock().now())
        if not is_whole:
            with pytest.raises(ListingFailed):
                [one async for one in gateway.list_transactions(window)]
    absent = NotFound(definitive=True)
    assert found == (absent if is_whole else Inconclusive("unreadable_answer"))


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "content", "code"),
    [
        (
            *problem(400, "INVALID_PARAMETER_SYNTAX", name="INVALID_REQUEST"),
            "INVALID_PARAMETER_SYNTAX",
        ),
        (*problem(422, "DECIMAL_PRECISION"), "DECIMAL_PRECISION"),
        (*problem(422, "MISSING_PREVIOUS_REFERENCE"), "MISSING_PREVIOUS_REFERENCE"),
        (*problem(422, "CITY_REQUIRED"), "CITY_REQUIRED"),
        (400, {"name": "INVALID_REQUEST"}, "INVALID_REQUEST"),
        (*problem(403, "PERMISSION_DENIED", name="NOT_AUTHORIZED"), "PERMISSION_DENIED"),
        (403, {"name": "NOT_AUTHORIZED"}, "NOT_AUTHORIZED"),
    ],
)
async def test_what_is_wrong_with_our_request_or_our_settings_is_our_error(
    status: int, content: Any, code: str
) -> None:
    async with answering(status, content) as gateway:
        with pytest.raises(InvalidRequestError) as refused:
            await gateway.charge(REQUEST)
        with pytest.raises(InvalidRequestError):
            await gateway.refund(REFUND)
    assert refused.value.code == code
    assert "4111" not in str(refused.value)  # what PayPal repeats of our request is not shown


@pytest.mark.parametrize(
    ("status", "content", "category"),
    [
        (*problem(422, "SOMETHING_NEW"), DeclineCategory.SOFT),
        (*problem(422, "PERMISSION_DENIED"), DeclineCategory.CONFIGURATION),
        (404, {"name": "RESOURCE_NOT_FOUND"}, DeclineCategory.HARD),
        (*problem(422, "SOMETHING_NEW", "CARD_EXPIRED"), DeclineCategory.HARD),
    ],
)
async def test_a_word_that_is_new_to_us_is_kept(
    status: int, content: Any, category: DeclineCategory
) -> None:
    async with answering(status, content) as gateway:
        outcome = await gateway.charge(REQUEST)
    assert isinstance(outcome, Declined)
    assert outcome.info.category is category
    assert outcome.info.gateway_code in json.dumps(content)


async def test_a_refused_refund_keeps_its_word_too() -> None:
    async with answering(*problem(422, "SOMETHING_NEW")) as gateway:
        outcome = await gateway.refund(REFUND)
    assert isinstance(outcome, RefundDeclined)
    assert outcome.gateway_code == "SOMETHING_NEW"


async def test_a_void_that_is_refused_in_a_new_way_is_not_a_void() -> None:
    async with answering(*problem(422, "CANNOT_BE_VOIDED")) as gateway:
        refused = await gateway.void(VoidRequest("k", "authorization:A"))
    assert not isinstance(refused, Voided)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("", None), ("soon", None)])
async def test_too_many_requests_were_not_executed(header: str, seconds: int | None) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await heard(reader)
        if b"oauth2" in request:
            token = b'{"access_token":"t","expires_in":9}'
            writer.write(b"HTTP/1.1 200 K\r\nContent-Length: %d\r\n\r\n" % len(token) + token)
            request = await heard(reader)
        writer.write(
            f"HTTP/1.1 429 No\r\nRetry-After: {header}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    async with server(talk) as url:
        settings = AccountSettings(
            AccountMode.TEST,
            credentials={"client_secret": SecretStr(SECRET)},
            options={"client_id": CLIENT_ID},
            base_url=url,
        )
        gateway = PayPalGateway(settings)
        outcome = await gateway.charge(REQUEST)
        await gateway.aclose()
    assert outcome == NotExecuted("rate_limited", seconds)


# ── amounts ───────────────────────────────────────────────────────────────────────────────────────


@given(st.sampled_from(sorted(amounts.DECIMALS)), st.integers(1, 10**12))
def test_an_amount_comes_back_as_it_went_or_never_goes(currency: str, minor: int) -> None:
    try:
        said = amounts.write(minor, currency)
    except InvalidRequestError as error:
        assert error.code == "amount_not_representable"
        assert currency in {"HUF", "TWD"}
        assert minor % 100
        return
    assert "." not in said["value"] or amounts.DECIMALS[currency] == 2
    assert Amount(**said).minor() == minor


@pytest.mark.parametrize(
    ("currency", "value", "minor"),
    [
        ("EUR", "19.9", 1990),
        ("EUR", "20", 2000),
        ("EUR", "-5.00", -500),
        ("JPY", "500.00", 500),
        ("HUF", "1499", 149_900),
        ("KWD", "1.234", 1234),
    ],
)
def test_amounts_are_read_exactly(currency: str, value: str, minor: int) -> None:
    assert Amount(currency_code=currency, value=value).minor() == minor


@pytest.mark.parametrize(
    ("currency", "value"),
    [("EUR", "1.999"), ("JPY", "1.5"), ("QQQ", "1"), ("EUR", ""), ("EUR", "1e3"), ("EUR", "x")],
)
def test_an_amount_between_two_units_is_not_read(currency: str, value: str) -> None:
    with pytest.raises(UnreadableAmount):
        Amount(currency_code=currency, value=value).minor()


def test_paypals_currencies_are_iso_currencies() -> None:
    assert EXPONENTS.keys() >= amounts.CURRENCIES
    assert all(amounts.DECIMALS[code] <= EXPONENTS[code] for code in amounts.CURRENCIES)
    assert PayPalGateway.capabilities.currencies == amounts.CURRENCIES


# ── words ─────────────────────────────────────────────────────────────────────────────────────────


def words_of(enum: Any) -> set[str]:
    return {value for name, value in vars(enum).items() if name.isupper()}


def test_the_tables_hold_words_that_paypal_has() -> None:
    assert declines.PROCESSOR_CODES.keys() <= words_of(ProcessorResponseCode)
    advice = declines.ADVICE_CODES.keys() | declines.RETRY_AFTER_SECONDS.keys()
    assert advice <= words_of(PaymentAdviceCode)


@pytest.mark.skipif(not paypal_spec.are_present(), reason=paypal_spec.ABSENT)
def test_every_issue_of_a_payment_is_judged_on_purpose() -> None:
    """Whatever PayPal's files know as a refusal of a charge is a decline, our fault, or a trace of
    an earlier request; nothing falls through to "soft, perhaps later" by oversight.
    """
    specs = paypal_spec.Specs()
    known: set[str] = set()
    for path in ("/v2/checkout/orders", "/v2/checkout/orders/X/capture"):
        known |= specs.issues("POST", path, 422).keys()
    known |= specs.issues("POST", "/v2/payments/authorizations/X/capture", 422).keys()
    from app.gateways.paypal.charges import LAPSED, NOT_HELD_ANY_MORE, TAKEN_ALREADY
    from app.gateways.paypal.problems import EARLIER, OUR_FAULT

    judged = declines.ISSUES.keys() | EARLIER | LAPSED | NOT_HELD_ANY_MORE | TAKEN_ALREADY
    unjudged = {one for one in known if one not in judged and not OUR_FAULT.fullmatch(one)}
    # None of these can come of an order with one unit and one vaulted wallet or card.
    foreign = (
        "ALIAS_",
        "APPLE_PAY",
        "BANK_",
        "BLIK",
        "CURRENCY_NOT_SUPPORTED_FOR_BANK",
        "DONATION",
        "DUPLICATE_REFERENCE_ID",
        "GOOGLE_PAY",
        "IBAN",
        "IDENTIFIER_NOT_FOUND",
        "ITEM_",
        "MERCHANT_INITIATED_WITH",
        "MULTIPLE_",
        "NOT_ELIGIBLE_FOR_PAYPAL",
        "NOT_ELIGIBLE_FOR_PNREF",
        "NOT_ENABLED_FOR_APPLE",
        "NOT_ENABLED_FOR_BANK",
        "NOT_ENABLED_FOR_GOOGLE",
        "ONLY_ONE_BANK",
        "ORDER_COMPLETE_ON",
        "ORDER_EXPIRED",
        "ORDER_NOT_APPROVED",
        "PAYEE_FX",
        "PAYEE_NOT_ENABLED_FOR_BANK",
        "PAYEE_PRICING",
        "PAYPAL_TRANSACTION_ID",
        "PLATFORM_FEE",
        "PNREF",
        "PREFERRED_",
        "PREVIOUS_TRANSACTION_REFERENCE",
        "SETUP_ERROR_FOR_BANK",
        "SHIPPING_",
        "ACTION_DOES_NOT",
        "VAULT_INSTRUCTION",
        "BILLING_ADDRESS_INVALID",
        "CARD_NUMBER",
        "PAYMENT_SOURCE_NOT_SUPPORTED",
        "PREVIOUS_",
    )
    assert {one for one in unjudged if not one.startswith(foreign)} == set()


def test_what_the_card_schemes_forbid_is_never_advised() -> None:
    for code in (*declines.PROCESSOR_CODES, None, "XXXX"):
        for advice in ("03", "21"):
            info = declines.by_processor(code, advice, "DECLINED")
            assert info.advice is DeclineAdvice.DO_NOT_RETRY
            assert info.category is DeclineCategory.HARD


@given(st.text(max_size=300), st.sampled_from(["order", "capture", "refund"]))
def test_request_ids_are_short_and_keep_keys_and_steps_apart(key: str, step: str) -> None:
    assert len(request_id(key, step)) <= 108 or len(key) < 108
    assert request_id(key, step) == request_id(key, step)
    assert request_id(key, step) != request_id(key + "x", step)
    assert request_id(key, step) != request_id(key, "void")


@pytest.mark.parametrize("kind", list(Kind))
def test_a_reference_is_read_back(kind: Kind) -> None:
    reference = Reference(kind, "5O190127TN364715T")
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize("own_id", ["../../v1/oauth2/token", "a/b", "", "..", "a?b", "a b", "é"])
@pytest.mark.parametrize("kind", list(Kind))
def test_no_id_leads_to_another_path(kind: Kind, own_id: str) -> None:
    assert Reference(kind, own_id).path.rpartition("/")[2] == "none"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-20T20:01:35Z", "2026-11-20T20:01:35+00:00"),
        ("2026-11-20T20:01:35.123+0100", "2026-11-20T19:01:35.123000+00:00"),
        ("2026-11-20T20:01:35", "2026-11-20T20:01:35+00:00"),
        ("2018-19-12T21:20:49Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_moments_are_read_leniently(text: str | None, shown: str | None) -> None:
    moment = moments.read(text)
    assert (moment.isoformat() if moment is not None else None) == shown


# ── nothing sensitive leaves ──────────────────────────────────────────────────────────────────────


async def test_logs_name_paypals_debug_id_and_nothing_of_what_was_sent() -> None:
    echo = {
        "name": "UNPROCESSABLE_ENTITY",
        "debug_id": "f1a2b3",
        "message": "about secret-vault-id and 4111111111111111",
        "details": [
            {
                "issue": "INSTRUMENT_DECLINED",
                "field": "/payment_source/card",
                "value": "secret-vault-id",
                "description": "4111111111111111 of ada@example.com",
            }
        ],
    }
    request = replace(REQUEST, payment_method_reference="secret-vault-id")
    with structlog.testing.capture_logs() as logs:
        async with answering(422, echo) as gateway:
            await gateway.charge(request)
            await gateway.get_payment_method(MethodReference("secret-vault-id"))
            with pytest.raises(InvalidRequestError) as refused:
                await gateway.detach_payment_method(
                    MethodReference("secret-vault-id"), idempotency_key="k"
                )
    said = repr(logs) + str(refused.value)
    assert "f1a2b3" in said
    for secret in ("secret-vault-id", "4111111111111111", "ada@example.com", SECRET, "Bearer"):
        assert secret not in said


async def test_secrets_are_in_no_representation(paypal: PayPalProcess) -> None:
    account = paypal.account(secret="a-very-secret-thing")
    gateway = PayPalGateway(account)
    assert "a-very-secret-thing" not in repr(vars(gateway)) + repr(account)
    await gateway.aclose()


async def test_a_row_of_the_report_in_a_currency_nobody_knows_ends_the_list() -> None:
    odd = {
        "transaction_details": [
            {
                "transaction_info": {
                    "transaction_id": "T1",
                    "transaction_event_code": "T0006",
                    "transaction_status": "S",
                    "transaction_amount": {"currency_code": "QQQ", "value": "1"},
                    "transaction_initiation_date": "2026-11-20T20:01:35+0000",
                }
            }
        ],
        "total_pages": 1,
    }
    async with answering(200, odd) as gateway:
        found = await gateway.find_payment(PaymentQuery("x"))
    # It bears no code of ours: a search passes it over, and proves what it proves.
    assert not isinstance(found, Found)


async def test_a_name_alone_says_that_a_result_is_too_large() -> None:
    too_large = {"name": "RESULTSET_TOO_LARGE", "message": "Result set size is greater"}
    async with answering(400, too_large) as gateway:
        found = await gateway.find_payment(PaymentQuery("x"))
    assert found == Inconclusive("resultset_too_large")


def golden() -> dict[str, Any]:
    path = paypal_spec.SPECS / "thirdparty" / "juspay-golden-requests.json"
    found: dict[str, Any] = json.loads(path.read_text())["paypal"] if path.is_file() else {}
    return found


@pytest.mark.skipif(not golden(), reason="juspay's requests are absent: set PERENNIAL_SPECS")
@pytest.mark.parametrize(
    ("flow", "act"),
    [
        (
            "capture/default",
            lambda g: g.capture(CaptureRequest("k", "authorization:PROBE", 1000, "USD")),
        ),
        ("void/default", lambda g: g.void(VoidRequest("k", "authorization:PROBE"))),
        ("refund/default", lambda g: g.refund(replace(refund_of("PROBE", 1000), currency="USD"))),
        ("get/default", lambda g: g.fetch_payment("PROBE")),
        ("refund_get/default", lambda g: g.fetch_refund("PROBE")),
        (
            "recurring_charge/default",
            lambda g: g.charge(replace(charge_of("wallet-ok", 1000), currency="USD")),
        ),
    ],
)
async def test_another_implementation_sends_the_same(
    paypal: PayPalProcess, flow: str, act: Callable[[PayPalGateway], Any]
) -> None:
    """What juspay's connector sends, method, path and the members that both have."""
    wanted = golden()[flow]
    gateway = paypal.open()
    await act(gateway)
    await gateway.aclose()
    [call] = paypal.calls("/v2/")
    path = Path(wanted["url"].partition(".com")[2])
    own = [part if "probe" not in part else "PROBE" for part in path.parts]
    assert call["method"] == wanted["method"].upper()
    assert Path(call["path"]).parts == tuple(own)
    if wanted.get("body"):
        theirs, ours = json.loads(wanted["body"]), json.loads(call["body"])
        for name in theirs.keys() & ours.keys() & {"amount", "final_capture", "intent"}:
            assert ours[name] == theirs[name]
