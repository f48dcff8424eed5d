"""Deliveries of Stripe: verified as Stripe's own SDK verifies them, both ways, or refused."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import stripe as sdk
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.outcome import Authorized, RequiresAction, Succeeded
from app.gateways.base import AccountMode, Gateway, WebhookRefused
from app.gateways.reports import EventKind, WebhookDelivery
from app.gateways.requests import MethodReference, SetupRequest, VoidRequest
from app.gateways.stripe.webhooks import KINDS, TOLERANCE_SECONDS, verified
from tests.gateways.stripe import CUSTOMER, StripeFake, charge_of, new_code, refund_of

PRESENT, BEFORE, FOREIGN = "whsec_present", "whsec_before", "whsec_of_another_account"
SECRETS = (SecretStr(PRESENT), SecretStr(BEFORE))
EVENT = {
    "id": "evt_1",
    "object": "event",
    "api_version": "2026-10-28.endive",
    "created": 1_700_000_000,
    "livemode": False,
    "pending_webhooks": 1,
    "request": {"id": None, "idempotency_key": None},
    "type": "payment_intent.succeeded",
    "data": {
        "object": {
            "id": "pi_1",
            "object": "payment_intent",
            "metadata": {"perennial_attempt": "x1"},
        }
    },
}
BODY = json.dumps(EVENT, indent=2)
SIGN = sdk.WebhookSignature.generate_signature_header


def now() -> int:
    return int(SystemClock().now().timestamp())  # the SDK asks the machine, and so must we


def delivery(header: str, body: str = BODY, at: int | None = None) -> WebhookDelivery:
    received_at = datetime.fromtimestamp(at if at is not None else now(), UTC)
    return WebhookDelivery({"stripe-signature": header}, body.encode(), received_at)


def accepts(header: str, body: str = BODY, *, secret: str = PRESENT, at: int | None = None) -> bool:
    """Whether we do."""
    try:
        verified(delivery(header, body, at), (SecretStr(secret),), AccountMode.TEST)
    except WebhookRefused:
        return False
    return True


def sdk_accepts(header: str, body: str = BODY, *, secret: str = PRESENT) -> bool:
    """Whether Stripe's own verifier does."""
    try:
        sdk.Webhook.construct_event(body, header, secret)
    except (sdk.SignatureVerificationError, ValueError):
        return False
    return True


SIGNED = "0" * 64


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        (lambda t: SIGN(BODY, PRESENT, t), True),
        (lambda t: f"{SIGN(BODY, PRESENT, t)},v0={SIGNED}", True),
        (lambda t: f"t={t},v1={SIGNED},{SIGN(BODY, PRESENT, t).partition(',')[2]}", True),
        (lambda t: SIGN(BODY, PRESENT, t).replace("v1=", "v0="), False),
        (lambda t: SIGN(BODY, FOREIGN, t), False),
        (lambda t: SIGN(BODY + " ", PRESENT, t), False),
        (lambda t: SIGN(BODY, PRESENT, t)[:-1], False),
        (lambda t: SIGN(BODY, PRESENT, t).replace(f"t={t}", f"t={t + 1}"), False),
        (lambda t: SIGN(BODY, PRESENT, t).partition(",")[2], False),
        (lambda t: f"t={t}", False),
        (lambda t: f"t={t},v1=", False),
        (lambda t: SIGN(BODY, PRESENT, t).upper(), False),
        (lambda t: SIGN(BODY, PRESENT, t - TOLERANCE_SECONDS - 5), False),
        (lambda t: SIGN(BODY, PRESENT, t - TOLERANCE_SECONDS + 5), True),
        (lambda t: SIGN(BODY, PRESENT, t + TOLERANCE_SECONDS - 5), True),
        (lambda _: "", False),
        (lambda _: "t=now,v1=x", False),
        (lambda t: f"t={t}.0,v1={SIGNED}", False),
    ],
)
def test_we_accept_what_stripes_own_verifier_accepts_and_nothing_else(header, holds: bool) -> None:
    signed = header(now())
    assert sdk_accepts(signed) is holds
    assert accepts(signed) is holds


@given(
    body=st.text(),
    secret=st.from_regex(r"whsec_[A-Za-z0-9]{1,40}", fullmatch=True),
    forged=st.text(max_size=80),
)
def test_any_body_is_proved_by_its_signature_and_by_no_other(
    body: str, secret: str, forged: str
) -> None:
    body = json.dumps(EVENT | {"note": body}, ensure_ascii=False)
    body = body.encode(errors="replace").decode()
    signed = SIGN(body, secret, now())
    assert accepts(signed, body, secret=secret)
    assert sdk_accepts(signed, body, secret=secret)
    for lie in (forged, f"t={now()},v1={forged}", f"t={forged},{signed.partition(',')[2]}"):
        assert lie in signed or not accepts(lie, body, secret=secret)
    assert not accepts(signed, body + forged + "x", secret=secret)


def test_while_a_secret_is_replaced_either_may_sign() -> None:
    for secret in (PRESENT, BEFORE):
        event = verified(delivery(SIGN(BODY, secret, now())), SECRETS, AccountMode.TEST)
        assert event.id == "evt_1"
    with pytest.raises(WebhookRefused):
        verified(delivery(SIGN(BODY, FOREIGN, now())), SECRETS, AccountMode.TEST)


@pytest.mark.parametrize("secrets", [(), (SecretStr(""),)])
def test_without_a_secret_nothing_is_accepted(secrets: tuple[SecretStr, ...]) -> None:
    for key in ("", PRESENT):
        with pytest.raises(WebhookRefused):
            verified(delivery(SIGN(BODY, key, now())), secrets, AccountMode.TEST)


def test_age_is_told_by_when_it_was_received() -> None:
    signed = SIGN(BODY, PRESENT, 1_700_000_000)
    assert accepts(signed, at=1_700_000_000 + TOLERANCE_SECONDS)
    assert not accepts(signed, at=1_700_000_000 + TOLERANCE_SECONDS + 1)
    # Stripe's own verifier lets what is signed in the future pass.
    assert accepts(signed, at=1_700_000_000 - TOLERANCE_SECONDS)
    assert not accepts(signed, at=1_700_000_000 - TOLERANCE_SECONDS - 1)


def test_more_signatures_than_stripe_sends_are_not_tried() -> None:
    signed = SIGN(BODY, PRESENT, now())
    assert not accepts(",".join([signed, *[f"v1={SIGNED}"] * 10]))
    assert not accepts(f"{signed},t=1")


def changed(**change: object) -> str:
    return json.dumps(EVENT | change)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (changed(livemode=True), "not of test mode"),
        (changed(account="acct_of_another"), "connected account"),
        (changed(object="v2.core.event"), "no event"),
        (changed(data=None), "no event"),
        (changed(id=5), "no event"),
        ("[]", "no event"),
        ("not json", "no event"),
        ("", "no event"),
    ],
)
def test_what_is_signed_but_not_for_us_is_refused(body: str, why: str) -> None:
    with pytest.raises(WebhookRefused, match=why):
        verified(delivery(SIGN(body, PRESENT, now()), body), SECRETS, AccountMode.TEST)


def test_a_live_account_refuses_test_events() -> None:
    with pytest.raises(WebhookRefused, match="not of live mode"):
        verified(delivery(SIGN(BODY, PRESENT, now())), SECRETS, AccountMode.LIVE)


def test_nothing_of_what_was_refused_is_repeated() -> None:
    body = changed(id="CANARY", livemode="CANARY")
    with pytest.raises(WebhookRefused) as refused:
        verified(delivery(SIGN(body, PRESENT, now()), body), SECRETS, AccountMode.TEST)
    assert "CANARY" not in f"{refused.value}{refused.value.__cause__}"


@pytest.mark.parametrize(
    ("about", "kind", "reference", "payment"),
    [
        ({"object": "payment_intent", "id": "pi_1"}, EventKind.PAYMENT, "pi_1", None),
        (
            {"object": "charge", "id": "ch_1", "payment_intent": "pi_1"},
            EventKind.PAYMENT,
            "pi_1",
            None,
        ),
        (
            {"object": "charge", "id": "ch_1", "payment_intent": None},
            EventKind.PAYMENT,
            "ch_1",
            None,
        ),
        (
            {"object": "refund", "id": "re_1", "payment_intent": "pi_1"},
            EventKind.REFUND,
            "re_1",
            "pi_1",
        ),
        ({"object": "refund", "id": "re_1", "charge": "ch_1"}, EventKind.REFUND, "re_1", "ch_1"),
        ({"object": "dispute", "id": "du_1", "charge": "ch_1"}, EventKind.DISPUTE, "du_1", "ch_1"),
        ({"object": "setup_intent", "id": "seti_1"}, EventKind.SETUP, "seti_1", None),
        ({"object": "payment_method", "id": "pm_1"}, EventKind.METHOD, "pm_1", None),
        (
            {"object": "mandate", "id": "m_1", "payment_method": "pm_1"},
            EventKind.METHOD,
            "pm_1",
            None,
        ),
        ({"object": "payout", "id": "po_1", "charge": {"odd": 1}}, EventKind.OTHER, "po_1", None),
        ({"object": "balance", "metadata": 5}, EventKind.OTHER, None, None),
        ({"metadata": ["x"]}, EventKind.OTHER, None, None),
    ],
)
def test_an_event_says_where_to_look(
    about: dict[str, object], kind: EventKind, reference: str | None, payment: str | None
) -> None:
    body = changed(data={"object": about})
    event = verified(delivery(SIGN(body, PRESENT, now()), body), SECRETS, AccountMode.TEST)
    assert (event.kind, event.reference, event.payment_reference) == (kind, reference, payment)
    assert event.occurred_at == datetime.fromtimestamp(1_700_000_000, UTC)


# As our Stripe really delivers


@pytest.fixture
async def gateway(stripe: StripeFake, anyio_backend: str) -> AsyncIterator[Gateway]:
    gateway = stripe.open()
    yield gateway
    await gateway.aclose()


async def test_every_event_of_a_life_is_verified_and_understood(
    stripe: StripeFake, gateway: Gateway
) -> None:
    begun = len(stripe.ask("events"))
    request = charge_of(stripe)
    paid = await gateway.charge(request)
    held = await gateway.charge(charge_of(stripe, is_captured=False))
    waiting = await gateway.charge(charge_of(stripe, "pm_card_authenticationRequired"))
    disputed = await gateway.charge(charge_of(stripe, "pm_card_createDispute"))
    assert isinstance(paid, Succeeded)
    assert isinstance(held, Authorized)
    assert isinstance(waiting, RequiresAction)
    assert isinstance(disputed, Succeeded)
    refund = refund_of(paid.gateway_reference, 100)
    await gateway.refund(refund)
    await gateway.void(VoidRequest(new_code(), held.gateway_reference))
    setup = SetupRequest(new_code(), new_code(), CUSTOMER)
    await gateway.start_setup(setup)
    method = MethodReference(request.payment_method_reference)
    await gateway.detach_payment_method(method, idempotency_key=new_code())

    events = [(await gateway.verify_webhook(one))[0] for one in stripe.deliveries()[begun:]]

    assert {event.kind for event in events} == {kind for kind, _ in KINDS.values()}
    of_charge = [event for event in events if event.our_reference == request.attempt_code]
    assert {event.reference for event in of_charge} == {paid.gateway_reference}
    of_refund = [event for event in events if event.our_reference == refund.refund_code]
    assert {event.type for event in of_refund} == {"refund.created", "refund.updated"}
    assert {event.payment_reference for event in of_refund} == {paid.gateway_reference}
    [of_setup] = [event for event in events if event.our_reference == setup.setup_code]
    assert of_setup.type == "setup_intent.created"
    assert len({event.id for event in events}) == len(events)
    for one in stripe.deliveries():
        sdk.Webhook.construct_event(one.body, one.headers["stripe-signature"], "whsec_fake_present")


async def test_forged_cut_old_and_foreign_deliveries_are_refused(
    stripe: StripeFake, gateway: Gateway
) -> None:
    await gateway.charge(charge_of(stripe))
    whole = stripe.deliveries()[-1]
    foreign = stripe.deliveries("whsec_of_another_account")[-1]
    other = stripe.deliveries()[-2]
    header = whole.headers["stripe-signature"]
    bad = [
        foreign,
        replace(whole, headers={}),
        replace(whole, headers={"stripe-signature": header.replace("v1=", "v0=")}),
        replace(whole, body=whole.body[:-1]),
        replace(whole, body=whole.body.replace(b"1999", b"1")),
        replace(whole, body=other.body),
        replace(whole, received_at=whole.received_at + timedelta(minutes=6)),
    ]
    for one in bad:
        with pytest.raises(WebhookRefused):
            await gateway.verify_webhook(one)
    rotating = stripe.deliveries("whsec_new", "whsec_fake_present")[-1]
    assert await gateway.verify_webhook(rotating) == await gateway.verify_webhook(whole)
