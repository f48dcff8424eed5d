"""Signatures, verified by a library that is not ours; and its own by us."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app import signing
from app.clock import SystemClock

OLD, NEW = signing.new_secret(), signing.new_secret()
BODY = '{"type":"invoice.paid","name":"Zoë ☃"}'.encode()
keys = st.binary(min_size=24, max_size=64)


def signed(*secrets: str, body: bytes = BODY, age: timedelta = timedelta()) -> dict[str, str]:
    given_keys = [signing.key_of(secret) for secret in secrets]
    return signing.headers(given_keys, "evt_1", SystemClock().now() - age, body)


def test_the_library_takes_what_we_sign() -> None:
    assert Webhook(NEW).verify(BODY, signed(NEW)) == {"type": "invoice.paid", "name": "Zoë ☃"}


def test_while_a_secret_is_exchanged_the_holder_of_either_takes_it() -> None:
    headers = signed(NEW, OLD)
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (OLD, NEW):
        Webhook(secret).verify(BODY, headers)


def test_nobody_else_takes_it() -> None:
    changed = BODY.replace(b"paid", b"void")
    moments_ago = str(int(SystemClock().now().timestamp()) - 9)
    attempts = (
        (signing.new_secret(), BODY, signed(NEW, OLD)),
        (OLD, BODY, signed(NEW)),
        (NEW, changed, signed(NEW)),
        (NEW, BODY, signed(NEW) | {"webhook-id": "evt_2"}),
        (NEW, BODY, signed(NEW) | {"webhook-timestamp": moments_ago}),
        (NEW, BODY, signed(NEW, age=timedelta(minutes=6))),
        (NEW, BODY, signed(NEW, age=-timedelta(minutes=6))),
    )
    for secret, body, headers in attempts:
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)


@given(keys, st.text(max_size=50), st.integers(0, 4_000_000_000))
def test_we_sign_as_the_library_does(key, text, seconds) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    ours = signing.headers([key], "msg_1", at, text.encode())
    assert ours["webhook-signature"] == Webhook(key).sign("msg_1", at, text)
    assert ours["webhook-timestamp"] == str(int(at.timestamp()))


@given(keys)
def test_a_secret_holds_its_key_and_the_library_reads_it(key) -> None:
    secret = signing.secret_of(key)
    assert secret.startswith("whsec_")
    assert signing.key_of(secret) == key
    at = datetime(2026, 1, 31, tzinfo=UTC)
    ours = signing.headers([key], "msg_1", at, b"{}")["webhook-signature"]
    assert ours == Webhook(secret).sign("msg_1", at, "{}")
