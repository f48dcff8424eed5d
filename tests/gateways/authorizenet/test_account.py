"""Opening an account, its credentials, its limits, and what never leaves it."""

import logging
import re
from dataclasses import replace

import pytest
from pydantic import SecretStr

from app.domain.outcome import NotExecuted, Unknown
from app.gateways.authorizenet import AUTHORIZENET
from app.gateways.authorizenet.adapter import AuthorizeNetGateway
from app.gateways.base import (
    AccountMode,
    AccountSettings,
    AuthenticationError,
    ConfigurationError,
    CredentialCheck,
    GatewayError,
)
from app.gateways.capabilities import FuzzyWindow, NoKey
from app.gateways.registry import open_gateway
from tests.gateways.authorizenet.terms import Shop
from tests.gateways.fakes.authorizenet.process import FakeAuthorizeNet
from tests.gateways.fakes.authorizenet.secrets import KEY, LOGIN
from tests.gateways.sockets import saying, server
from tests.simulator import free_port


async def test_right_credentials_are_valid(fake: FakeAuthorizeNet, gateway) -> None:
    assert await gateway.check_credentials() is CredentialCheck.VALID


async def test_wrong_credentials_are_refused_and_move_nothing(
    shop: Shop, settings: AccountSettings
) -> None:
    wrong = {"transaction_key": SecretStr("0000000000000000")}
    stranger = AuthorizeNetGateway(replace(settings, credentials=wrong))
    request = shop.request()
    assert await stranger.check_credentials() is CredentialCheck.REFUSED
    with pytest.raises(AuthenticationError):
        await stranger.charge(request)
    await stranger.aclose()
    assert shop.taken(request) == "0"


async def test_an_account_that_may_not_look_at_its_books_is_refused(
    fake: FakeAuthorizeNet, gateway: AuthorizeNetGateway
) -> None:
    fake.do("settings", may_report=False)
    assert await gateway.check_credentials() is CredentialCheck.REFUSED


async def test_nobody_listening_means_not_executed(shop: Shop, settings: AccountSettings) -> None:
    deaf = AuthorizeNetGateway(replace(settings, base_url=f"http://127.0.0.1:{free_port()}"))
    assert await deaf.charge(shop.request()) == NotExecuted("connect_failed")
    assert await deaf.check_credentials() is CredentialCheck.UNREACHABLE
    await deaf.aclose()


async def test_too_many_requests_says_when_to_come_back(shop: Shop) -> None:
    shop.fake.set_fault("error_429")
    assert await shop.gateway.charge(shop.request()) == NotExecuted("rate_limited", 1)


@pytest.mark.parametrize(
    "options",
    [
        {"currency": ""},
        {"currency": "JPY"},
        {"currency": "usd"},
        {"api_login_id": ""},
        {"client_key": ""},
        {"validation_mode": "deadMode"},
    ],
)
def test_an_account_that_lacks_something_is_not_opened(
    settings: AccountSettings, options: dict[str, str]
) -> None:
    with pytest.raises(ConfigurationError):
        open_gateway("authorizenet", replace(settings, options={**settings.options, **options}))


async def test_the_account_takes_its_one_currency(gateway: AuthorizeNetGateway) -> None:
    assert gateway.capabilities.currencies == frozenset({"USD"})
    assert gateway.capabilities == replace(AUTHORIZENET.capabilities, currencies=frozenset({"USD"}))


def test_the_capabilities_promise_no_key() -> None:
    promised = AUTHORIZENET.capabilities
    assert promised.charge_repeatability == FuzzyWindow(28_800)
    assert promised.refund_repeatability == NoKey()
    # Absence is no proof before a new charge could pass the duplicate window.
    assert not promised.absence_is_proof(28_800)
    assert promised.absence_is_proof(28_800 + 901)
    # And it must be seen twice, a quarter of an hour apart.
    assert not promised.absence_is_proof(28_800 + 901, 899)
    assert promised.absence_is_proof(28_800 + 901, 900)


@pytest.mark.parametrize(
    ("mode", "host"), [(AccountMode.LIVE, "api.authorize"), (AccountMode.TEST, "apitest.authorize")]
)
async def test_each_mode_has_its_host(
    settings: AccountSettings, mode: AccountMode, host: str
) -> None:
    gateway = AUTHORIZENET(replace(settings, mode=mode, base_url=None))
    http = gateway._account.api._http
    assert http._base_url == f"https://{host}.net"
    assert gateway._account.script.startswith("https://js")
    await gateway.aclose()


@pytest.mark.parametrize("value", [LOGIN, "A" * 25])
def test_fields_say_what_a_value_looks_like(value: str) -> None:
    fields = {field.name: field for field in AUTHORIZENET.fields}
    assert re.fullmatch(fields["api_login_id"].pattern or "", value)
    assert re.fullmatch(fields["transaction_key"].pattern or "", KEY)
    assert {name for name, field in fields.items() if field.is_secret} == {"transaction_key"}


# Answers that make no sense


def http(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


OK = b'"messages": {"resultCode": "Ok", "message": [{"code": "I00001", "text": "Successful."}]}'
STRANGE = {
    "no body": (b"", "unreadable_answer"),
    "no json": (b"<html>", "unreadable_answer"),
    "no object": (b"[]", "unreadable_answer"),
    "no messages": (b"{}", "unreadable_answer"),
    "an unknown result": (b'{"messages": {"resultCode": "Maybe"}}', "unreadable_answer"),
    "no transaction": (b"{%s}" % OK, "I00001"),
    "an unknown response": (
        b'{"transactionResponse": {"responseCode": "7", "transId": "1"}, %s}' % OK,
        "contradictory_answer",
    ),
    "another's answer": (
        b'{"transactionResponse": {"responseCode": "1", "transId": "1"}, "refId": "x", %s}' % OK,
        "answer_for_another_charge",
    ),
    "another's card": (
        b'{"transactionResponse": {"responseCode": "1", "transId": "1", "profile":'
        b' {"customerProfileId": "1", "customerPaymentProfileId": "2"}}, %s}' % OK,
        "answer_for_another_charge",
    ),
    "approved and an error": (
        (
            b'{"transactionResponse": {"responseCode": "1", "transId": "1"}, "messages":'
            b' {"resultCode": "Error", "message": [{"code": "E00027", "text": ""}]}}'
        ),
        "contradictory_answer",
    ),
    "an error nobody knows": (
        b'{"messages": {"resultCode": "Error", "message": [{"code": "E99999", "text": ""}]}}',
        "E99999",
    ),
}


@pytest.mark.parametrize("name", STRANGE)
async def test_an_answer_that_makes_no_sense_is_unknown(
    shop: Shop, settings: AccountSettings, name: str
) -> None:
    body, cause = STRANGE[name]
    async with server(saying(http(body))) as url:
        gateway = AuthorizeNetGateway(replace(settings, base_url=url))
        outcome = await gateway.charge(shop.request())
        await gateway.aclose()
    assert isinstance(outcome, Unknown)
    assert outcome.cause == cause


@pytest.mark.parametrize("status", ["301 Moved", "403 Forbidden", "404 Not Found", "503 Busy"])
async def test_any_other_status_says_nothing_of_the_money(
    shop: Shop, settings: AccountSettings, status: str
) -> None:
    async with server(saying(http(b"{}", status))) as url:
        gateway = AuthorizeNetGateway(replace(settings, base_url=url))
        outcome = await gateway.charge(shop.request())
        await gateway.aclose()
    assert outcome == Unknown(f"http_{status[:3]}")


async def test_less_approved_than_asked_is_said_exactly(
    shop: Shop, settings: AccountSettings
) -> None:
    body = (
        b'{"transactionResponse": {"responseCode": "1", "transId": "1", "prePaidCard":'
        b' {"requestedAmount": "10.00", "approvedAmount": "4.11"}}, %s}' % OK
    )
    async with server(saying(http(body))) as url:
        gateway = AuthorizeNetGateway(replace(settings, base_url=url))
        outcome = await gateway.charge(shop.request(amount=1000))
        await gateway.aclose()
    assert getattr(outcome, "amount_minor", None) == 411


# Redaction


async def test_credentials_and_the_gateways_sentences_appear_nowhere(
    shop: Shop, settings: AccountSettings, caplog: pytest.LogCaptureFixture
) -> None:
    canary = "CANARYKEY0000001"
    quoted = (
        b'{"messages": {"resultCode": "Error", "message": [{"code": "E00003", "text":'
        b" \"The value 'CANARYKEY0000001 4111111111111111' is invalid.\"}]}}"
    )
    credentials = {"transaction_key": SecretStr(canary)}
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    async with server(saying(http(quoted))) as url:
        gateway = AuthorizeNetGateway(replace(settings, base_url=url, credentials=credentials))
        said.append(repr(gateway._account))
        for call in (gateway.charge(shop.request()), gateway.complete_setup(shop.completion())):
            with pytest.raises(GatewayError) as refused:
                await call
            said.append(f"{refused.value!r} {refused.value}")
        await gateway.aclose()
    said.append(caplog.text)
    assert all(canary not in each and "4111" not in each for each in said)
