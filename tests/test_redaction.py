"""What is kept of what others send: no card number and no secret, and all the rest."""

import orjson
import pytest

from app.redaction import MASK, masked, scrubbed, scrubbed_body, scrubbed_headers
from tests.api.test_problems import CARDS, NOT_CARDS


@pytest.mark.parametrize("text", CARDS)
def test_a_card_number_is_masked_wherever_it_stands(text: str) -> None:
    kept = masked(f"before {text} after")
    assert MASK in kept
    assert kept.startswith("before ")
    assert kept.endswith(" after")
    assert not [run for run in text.split() if len(run) > 11 and run in kept]


@pytest.mark.parametrize("text", NOT_CARDS)
def test_other_numbers_stay(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "secret",
    [
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "rk_test_51H8aaa",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw==",
        "seti_1A2B_secret_C3D4",
        "pl_01m8p6ftk3e98r8rztwm6k5ncx_Zx-9_Qw7-Rt5",
    ],
)
def test_gateways_secrets_are_masked(secret: str) -> None:
    assert secret not in masked(f"the key {secret}, said twice: {secret}")


def test_a_document_loses_what_is_named_as_secret_and_keeps_its_shape() -> None:
    document = {
        "id": "evt_1",
        "created": 1_764_428_588_000,
        "data": {
            "client_secret": "pi_1_secret_2",
            "clientSecret": "x",
            "card": {"number": 4242424242424242, "cvc": "123", "last4": "4242", "exp_month": 4},
            "list": ["4242 4242 4242 4242", 5, None, True, 1.5],
            "X-Authorization": "Bearer abc",
            "transactionKey": "k",
            "token_id": "token_4lsdksD31GaZ09",
            "next_secret": None,
        },
    }
    kept = scrubbed(document)
    assert kept["created"] == document["created"]
    data = kept["data"]
    assert [data[n] for n in ("client_secret", "clientSecret", "X-Authorization")] == [MASK] * 3
    assert data["transactionKey"] == MASK
    assert data["card"] == {"number": MASK, "cvc": MASK, "last4": "4242", "exp_month": 4}
    assert data["list"] == [MASK, 5, None, True, 1.5]
    assert data["token_id"] == "token_4lsdksD31GaZ09"
    assert data["next_secret"] is None


def test_a_body_that_is_no_json_is_kept_as_masked_text() -> None:
    assert scrubbed_body(b"card 4242424242424242\xff") == b"card [redacted]\xef\xbf\xbd"
    assert orjson.loads(scrubbed_body(b'{"secret": "x"}')) == {"secret": MASK}
    deep = b"[" * 60 + b"4242424242424242" + b"]" * 60
    assert b"4242424242424242" not in scrubbed_body(deep)


def test_headers_keep_what_proves_nothing() -> None:
    given = {
        "content-type": "application/json",
        "webhook-id": "evt_1",
        "webhook-signature": "v1,abc",
        "x-razorpay-signature": "abc",
        "authorization": "Basic abc",
        "paypal-cert-url": "https://api.paypal.com/x",
        "x-forwarded-for": "10.0.0.1",
        "user-agent": "x" * 900,
    }
    kept = scrubbed_headers(given)
    assert list(kept) == ["content-type", "webhook-id", "user-agent"]
    assert len(kept["user-agent"]) == 200
