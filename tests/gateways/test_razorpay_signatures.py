"""Signatures agree with Razorpay's own vectors and with its SDK's verifiers, both ways."""

import pytest
import razorpay
from hypothesis import given
from hypothesis import strategies as st

from app.gateways.razorpay.signatures import is_signed, payment_message, signature
from tests.gateways import specs

SDK = razorpay.Client(auth=("rzp_test_x", "key_secret")).utility
REFUSED = razorpay.errors.SignatureVerificationError
secrets = st.text(min_size=1, max_size=40)


def vector(name: str) -> dict[str, str]:
    [found] = [one for one in specs.load("webhooks", "razorpay-vectors.json") if one["id"] == name]
    return dict(found)


def test_the_official_delivery_verifies_with_its_last_newline_only() -> None:
    official = vector("rzp-webhook")
    body, given_, secret = official["body"].encode(), official["signature"], official["secret"]
    assert body.endswith(b"\n")
    assert is_signed(body, given_, secret)
    assert not is_signed(body.rstrip(b"\n"), given_, secret)
    assert not is_signed(body + b" ", given_, secret)
    assert not is_signed(body, given_.upper(), secret)
    assert not is_signed(body, given_[:-1], secret)
    assert not is_signed(body, given_, secret + "x")


def test_the_official_payment_verifies() -> None:
    official = vector("rzp-payment")
    order, payment = official["razorpay_order_id"], official["razorpay_payment_id"]
    assert is_signed(payment_message(order, payment), official["signature"], official["secret"])
    assert not is_signed(payment_message(payment, order), official["signature"], "key_secret")


@given(st.text(max_size=200), secrets)
def test_the_sdk_accepts_our_signature_and_we_accept_nothing_else(body: str, secret: str) -> None:
    ours = signature(body.encode(), secret)
    assert SDK.verify_webhook_signature(body, ours, secret)
    assert is_signed(body.encode(), ours, secret)
    wrong = ("0" if ours[0] != "0" else "1") + ours[1:]
    assert not is_signed(body.encode(), wrong, secret)
    with pytest.raises(REFUSED):
        SDK.verify_webhook_signature(body, wrong, secret)


def test_the_sdk_accepts_our_signature_of_a_payment() -> None:
    signed = signature(payment_message("order_1", "pay_1"), "key_secret")
    said = {"razorpay_order_id": "order_1", "razorpay_payment_id": "pay_1"}
    assert SDK.verify_payment_signature(said | {"razorpay_signature": signed})


@pytest.mark.parametrize("given_", ["", "é", "not hex", "sha256=" + "0" * 64])
def test_nonsense_is_refused_and_not_raised(given_: str) -> None:
    assert not is_signed(b"{}", given_, "secret")
