"""Deliveries: believed once they are proved to be the gateway's, and for this account."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from app.clock import SystemClock
from app.domain.outcome import Found
from app.gateways.base import WebhookRefused
from app.gateways.reports import EventKind, WebhookDelivery
from app.testing.harness import Delivered, Secret, Trait
from app.testing.trial import Trial, new_code

HOUR = timedelta(hours=1)


def now() -> datetime:
    """The present."""
    return SystemClock().now()


async def about_a_charge(trial: Trial) -> Delivered:
    """What is to be delivered about a charge that succeeded."""
    charge, paid = await trial.paid()
    return Delivered(
        f"evt_{new_code()}", EventKind.PAYMENT, paid.gateway_reference, charge.attempt_code, now()
    )


async def refused(trial: Trial, delivery: WebhookDelivery) -> None:
    """The adapter believes nothing of it."""
    with pytest.raises(WebhookRefused):
        await trial.gateway.verify_webhook(delivery)


async def test_a_delivery_says_what_it_is_about(trial: Trial) -> None:
    """Where to look, and there it is."""
    wanted = await about_a_charge(trial)

    [event] = await trial.gateway.verify_webhook(trial.harness.delivery(wanted))

    assert event.id
    assert event.kind is EventKind.PAYMENT
    assert event.reference == wanted.reference
    assert event.our_reference in {wanted.our_reference, None}
    found = await trial.gateway.fetch_payment(event.reference or "")
    assert isinstance(found, Found)
    assert found.reference == wanted.our_reference


async def test_a_delivery_that_comes_again_is_the_same_event(trial: Trial) -> None:
    """So that it is settled once."""
    wanted = await about_a_charge(trial)
    first = await trial.gateway.verify_webhook(trial.harness.delivery(wanted))
    again = await trial.gateway.verify_webhook(trial.harness.delivery(wanted))
    assert [event.id for event in first] == [event.id for event in again]


async def test_a_refund_s_delivery_is_about_a_refund(trial: Trial) -> None:
    """By the gateway's own name of it."""
    charge, paid = await trial.paid()
    refund = trial.refund_of(charge, paid)
    outcome = await trial.ended_refund(refund, await trial.gateway.refund(refund))
    named = getattr(outcome, "gateway_reference", None)
    assert named is not None, outcome
    wanted = Delivered(f"evt_{new_code()}", EventKind.REFUND, named, refund.refund_code, now())
    [event] = await trial.gateway.verify_webhook(trial.harness.delivery(wanted))
    assert event.kind is EventKind.REFUND
    assert event.reference == named


@pytest.mark.parametrize("forgery", ["changed", "cut", "longer", "empty", "unsigned", "other"])
async def test_what_the_gateway_did_not_sign_is_refused(trial: Trial, forgery: str) -> None:
    """Byte for byte."""
    wanted = await about_a_charge(trial)
    real = trial.harness.delivery(wanted)
    other = trial.harness.delivery(replace(wanted, event_id=f"evt_{new_code()}"))
    body = real.body
    forged = {
        "changed": replace(real, body=body.replace(wanted.reference.encode(), b"another", 1)),
        "cut": replace(real, body=body[:-1]),
        "longer": replace(real, body=body + b" "),
        "empty": replace(real, body=b""),
        "unsigned": replace(real, headers={"content-type": "application/json"}),
        "other": replace(real, headers=other.headers),
    }[forgery]
    assert forged != real
    await refused(trial, forged)


async def test_a_signature_of_another_secret_is_refused(trial: Trial) -> None:
    """Whoever's it is."""
    trial.needs(Trait.WEBHOOK_SECRETS)
    wanted = replace(await about_a_charge(trial), signed_with=Secret.ANOTHER)
    await refused(trial, trial.harness.delivery(wanted))


async def test_the_secret_before_still_counts(trial: Trial) -> None:
    """While a secret is changed, deliveries signed with either are the gateway's."""
    trial.needs(Trait.WEBHOOK_SECRETS)
    wanted = replace(await about_a_charge(trial), signed_with=Secret.PREVIOUS)
    [event] = await trial.gateway.verify_webhook(trial.harness.delivery(wanted))
    assert event.reference == wanted.reference


async def test_without_a_secret_nothing_is_believed(trial: Trial) -> None:
    """An account that was given none fails closed."""
    trial.needs(Trait.WEBHOOK_SECRETS)
    wanted = await about_a_charge(trial)
    async with trial.account(trial.settings(webhook_secrets=())) as gateway:
        with pytest.raises(WebhookRefused):
            await gateway.verify_webhook(trial.harness.delivery(wanted))


@pytest.mark.parametrize("off", [-HOUR, HOUR])
async def test_a_recording_is_refused(trial: Trial, off: timedelta) -> None:
    """Signed an hour ago, or an hour ahead."""
    trial.needs(Trait.WEBHOOK_TIME)
    wanted = replace(await about_a_charge(trial), at=now() + off)
    await refused(trial, replace(trial.harness.delivery(wanted), received_at=now()))


async def test_a_delivery_for_another_account_is_refused(trial: Trial) -> None:
    """Though it is rightly signed."""
    trial.needs(Trait.WEBHOOK_ACCOUNT)
    wanted = replace(await about_a_charge(trial), is_of_another_account=True)
    await refused(trial, trial.harness.delivery(wanted))


async def test_a_delivery_of_live_mode_is_refused_by_a_test_account(trial: Trial) -> None:
    """Though it is rightly signed."""
    trial.needs(Trait.WEBHOOK_MODE)
    wanted = replace(await about_a_charge(trial), is_live=True)
    await refused(trial, trial.harness.delivery(wanted))


async def test_a_body_that_makes_no_sense_is_refused_and_breaks_nothing(trial: Trial) -> None:
    """Bytes, numbers, lists: with whatever headers a real delivery has."""
    real = trial.harness.delivery(await about_a_charge(trial))
    for body in (b"\xff\xfe\x00", b"[]", b"1", b"null", b"{" * 10_000, b'{"id":{}}'):
        await refused(trial, replace(real, body=body))
