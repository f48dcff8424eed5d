"""Payments that wait: for their customer, their gateway, to be captured, for a person's word."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.domain.errors import Conflict, InvalidRequest, NotFound, Unavailable
from app.domain.outcome import Pending, Succeeded, Unknown
from app.ids import new_id
from app.services import look_ups, payment_actions, payments, reconciliation_repairs
from app.services.reconciliation_repairs import RepairDifference
from app.services.verdicts import ResolvePayment, Verdict, resolve
from tests.simulator import SimulatorProcess
from tests.world import PAID, World, until

RENEWAL = ("subscription.renewed", "invoice.finalized")
ASKED = (*RENEWAL, "payment.action_required")
STUCK = {"kind": "error_500_before", "operations": ["charge", "lookup"]}


async def asking(world: World) -> UUID:
    """A renewal that waits for its customer; the payment."""
    customer = await world.customer()
    await world.subscribe(customer, await world.price("1000"))
    await world.attach(customer, "pm_sim_requires_action")
    await world.told()
    await world.advance(months=1, expect=ASKED)
    return (await world.payments())[-1]["id"]


async def attempt(world: World) -> Any:
    return (await world.attempts())[-1]


async def confirm(world: World, payment: UUID, decline_code: str | None = None) -> None:
    """What the customer does, with what the shop's page was given."""
    action = await payment_actions.action(world.rt, world.caller, payment)
    assert action.action_url is not None
    body = {"client_secret": action.client_secret, "decline_code": decline_code}
    url = action.action_url.partition("?")[0] + "/confirm"
    async with httpx.AsyncClient(trust_env=False) as client:
        (await client.post(url, json=body)).raise_for_status()


# The customer


async def test_a_customer_who_confirms_has_paid(world: World) -> None:
    payment = await asking(world)
    await confirm(world, payment)
    await world.advance(minutes=10, expect=PAID)
    assert world.charged() == [(1000, "EUR")] * 2
    found = await payment_actions.action(world.rt, world.caller, payment)
    assert (found.status, found.action_url, found.client_secret) == ("succeeded", None, None)
    await world.assert_clean()


async def test_the_page_of_the_gateway_takes_the_customer_s_word(world: World) -> None:
    payment = await asking(world)
    url = (await world.payments())[-1]["action_url"]
    async with httpx.AsyncClient(trust_env=False) as client:
        page = await client.get(url)
        assert "1000 minor units of EUR" in page.text
        done = await client.post(url, data={"answer": "no"})
        assert "declined" in done.text
    found = await payment_actions.action(world.rt, world.caller, payment)
    assert found.status == "requires_payment_method"  # asked, it finds out at once
    await world.expect("payment.failed", "invoice.payment_failed", "subscription.past_due")
    await world.assert_clean()


async def test_a_payment_that_waits_for_its_customer_can_be_given_up_and_tried_anew(
    world: World,
) -> None:
    payment = await asking(world)
    await world.cancel_payment(payment)
    await world.expect("payment.voided")
    [_, row] = await world.payments()
    assert (row["status"], row["action_url"]) == ("requires_payment_method", None)
    assert (await attempt(world))["status"] == "canceled"
    assert world.charges()[-1]["status"] == "voided"
    [deed] = await world.fetch("SELECT * FROM audit_log WHERE action = 'payment.voided'")
    assert deed["object_id"] == payment
    with pytest.raises(Conflict, match="requires_payment_method"):
        await world.cancel_payment(payment)
    good = await world.attach(row["customer_id"], "pm_sim_ok")
    await world.pay(row["invoice_id"], good)
    await world.expect(*PAID)
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_a_customer_who_was_quicker_has_paid_and_cannot_be_given_up(world: World) -> None:
    payment = await asking(world)
    await confirm(world, payment)
    with pytest.raises(Conflict, match="succeeded"):
        await world.cancel_payment(payment)
    await world.expect(*PAID)
    await world.assert_clean()


@pytest.mark.parametrize("fault", ["error_500_before", "error_500_after", "error_429"])
async def test_giving_up_where_the_gateway_does_not_answer_changes_nothing(
    world: World, simulator: SimulatorProcess, fault: str
) -> None:
    payment = await asking(world)
    simulator.set_fault(fault, operations=["void"], count=1)
    with pytest.raises(Unavailable):
        await world.cancel_payment(payment)
    await world.expect()
    assert (await world.payments())[-1]["status"] == "requires_action"
    if fault == "error_429":
        await asyncio.sleep(1.1)  # the gateway asked for a second's peace, by its own clock
    await world.cancel_payment(payment)
    await world.expect("payment.voided")
    await world.assert_clean()


async def test_what_does_not_wait_for_its_customer_is_not_given_up(world: World) -> None:
    await world.subscribed("1000")
    [payment] = await world.payments()
    with pytest.raises(Conflict, match="succeeded"):
        await world.cancel_payment(payment["id"])
    with pytest.raises(NotFound):
        await world.cancel_payment(new_id())
    await world.expect()


async def test_a_first_payment_that_nobody_confirms_is_given_up_when_the_subscription_expires(
    world: World,
) -> None:
    customer = await world.customer("pm_sim_requires_action")
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.expect("subscription.created", "invoice.finalized", "payment.action_required")
    expires_at = (await world.subscription(sub))["expires_at"]
    await world.advance(to=expires_at, expect=["payment.voided"])
    assert world.charges()[-1]["status"] == "voided"
    await world.advance(minutes=5, expect=["subscription.incomplete_expired", "invoice.voided"])
    assert await world.status(sub) == "incomplete_expired"
    await world.assert_clean()


async def test_a_first_payment_that_was_confirmed_at_the_last_moment_counts(world: World) -> None:
    customer = await world.customer("pm_sim_requires_action")
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.told()
    [payment] = await world.payments()
    await confirm(world, payment["id"])
    expires_at = (await world.subscription(sub))["expires_at"]
    await world.advance(to=expires_at, expect=[*PAID, "subscription.activated"])
    await world.advance(minutes=5, expect=[])
    assert await world.status(sub) == "active"
    await world.assert_clean()


async def test_canceling_gives_up_the_first_payment_and_voids_its_invoice(world: World) -> None:
    customer = await world.customer("pm_sim_requires_action")
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.told()
    await world.cancel(sub)
    await world.expect("payment.voided", "subscription.canceled", "invoice.voided")
    assert world.charges()[-1]["status"] == "voided"
    await world.assert_clean()


async def test_canceling_while_the_gateway_is_silent_changes_nothing(
    world: World, simulator: SimulatorProcess
) -> None:
    customer = await world.customer("pm_sim_requires_action")
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.told()
    simulator.set_fault("error_500_before", operations=["void"])
    with pytest.raises(Unavailable):
        await world.cancel(sub)
    await world.expect()
    assert await world.status(sub) == "incomplete"


async def test_a_subscription_that_ends_waits_for_nobody_any_more(world: World) -> None:
    await asking(world)
    [sub] = await world.fetch("SELECT id FROM subscriptions")
    await world.cancel(sub["id"])
    await world.expect("subscription.canceled")
    await world.advance(seconds=1, expect=["payment.voided"])
    assert world.charges()[-1]["status"] == "voided"
    assert (await world.invoice(sub["id"]))["status"] == "open"  # it is still owed
    await world.assert_clean()


# Held money


async def holding(world: World, simulator: SimulatorProcess, **fault: Any) -> None:
    """A gateway that only holds what it was asked to take."""
    if fault:
        simulator.set_fault(operations=["capture"], **fault)
    customer = await world.customer("pm_sim_authorized")
    await world.subscribe(customer, await world.price("1000"))
    await world.expect("subscription.created", "invoice.finalized", "payment.processing")
    assert world.charged() == []


async def test_what_is_only_held_is_captured(world: World, simulator: SimulatorProcess) -> None:
    await holding(world, simulator)
    await world.advance(minutes=1, expect=[*PAID, "subscription.activated"])
    assert world.charged() == [(1000, "EUR")]
    assert (await attempt(world))["capture_sent_at"] == world.now
    await world.assert_clean()


@pytest.mark.parametrize("kind", ["native_key", "none"])
@pytest.mark.parametrize("fault", ["error_500_before", "error_500_after", "cut_body"])
async def test_a_capture_that_was_not_answered_takes_the_money_once(
    world: World, simulator: SimulatorProcess, kind: str, fault: str
) -> None:
    await world.speak_as(kind)
    await holding(world, simulator, kind=fault, count=1)
    await world.advance(minutes=1, expect=["payment.unknown"])
    is_captured = fault != "error_500_before"
    again = [] if kind == "none" and not is_captured else [*PAID, "subscription.activated"]
    told = await moving_on(world, minutes=2)
    if not again:
        assert told == ["payment.processing"]  # held still: it is too early to ask again
        told = await moving_on(world, minutes=10)
        again = [*PAID, "subscription.activated"]
    assert sorted(t for t in told if t != "payment.processing") == sorted(again)
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


async def moving_on(world: World, **time: int) -> list[str]:
    world.clock.advance(timedelta(**time))
    await world.tick()
    return await world.told()


async def test_what_is_held_and_cannot_be_captured_is_a_person_s_affair(
    world: World, simulator: SimulatorProcess
) -> None:
    await holding(world, simulator, kind="error_500_before")
    for _ in range(20):
        await moving_on(world, hours=12)
    found = await attempt(world)
    assert found["look_up_at"] is None
    assert found["detail"].startswith("manual_review: ")
    assert world.charged() == []


# The gateway


async def test_a_payment_that_is_pending_is_asked_for_until_it_is_decided(
    world: World, simulator: SimulatorProcess
) -> None:
    # Longer than all the look-ups of an unknown outcome, but shorter than the gateway may take.
    await world.subscribe(await world.customer(), await world.price("1000"))
    await world.told()
    pending, paid = Pending("ch_slow"), Succeeded("ch_slow", 1000, "EUR")
    simulator.set_fault("error_500_before", operations=["charge"], count=1)
    await world.advance(months=1, expect=[*RENEWAL, "payment.unknown"])
    for _ in range(30):
        fresh = await world.last_attempt()
        await payments.settle_all(world.rt, [(fresh, pending)], world.now)
        world.clock.advance(timedelta(hours=5))
    fresh = await world.last_attempt()
    assert fresh.look_ups > 20
    assert fresh.look_up_at is not None
    await payments.settle_all(world.rt, [(fresh, paid)], world.now)
    await world.expect("payment.processing", *PAID)


async def test_a_payment_that_is_pending_for_too_long_is_a_person_s_affair(
    world: World, simulator: SimulatorProcess
) -> None:
    await world.subscribe(await world.customer("pm_sim_pending_forever"), await world.price())
    await world.told()
    for _ in range(20):
        await moving_on(world, hours=12)
    found = await attempt(world)
    assert found["look_up_at"] is None
    assert found["detail"].startswith("manual_review: the gateway has not come to an end")
    await world.assert_clean(but=["nothing_awaits_review"])
    assert await look_ups.resolve_due(world.rt) == 0


# A person's word


async def stuck(world: World, simulator: SimulatorProcess, fault: str = "error_500_before") -> Any:
    """A renewal of which nothing can be found out."""
    await world.subscribed("1000")
    simulator.set_faults(
        {"kind": fault, "operations": ["charge"], "count": 1}, STUCK | {"operations": ["lookup"]}
    )
    await world.advance(months=1, expect=[*RENEWAL, "payment.unknown"])
    for _ in range(14):
        await world.advance(days=1, expect=[])
    simulator.clear_faults()
    assert (await attempt(world))["look_up_at"] is None
    return (await world.payments())[-1]["id"]


async def test_a_person_who_found_the_charge_says_which_it_is(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await stuck(world, simulator, "error_500_after")
    charge = world.charges()[-1]["id"]
    await world.resolve(payment, charge)
    await world.expect(*PAID)
    [deed] = await world.fetch("SELECT * FROM audit_log WHERE action = 'payment.resolved'")
    assert charge in str(dict(deed))
    await world.assert_clean()


async def test_a_person_who_found_nothing_frees_the_invoice(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await stuck(world, simulator)
    await world.resolve(payment)
    await world.expect("payment.voided")
    [_, row] = await world.payments()
    assert row["status"] == "requires_payment_method"
    await world.advance(hours=1, expect=[])  # nobody charges by himself what a person has freed
    await world.pay(row["invoice_id"])
    await world.expect(*PAID)
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_the_gateway_s_books_outweigh_a_person_s_word(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await stuck(world, simulator, "error_500_after")
    first, _ = world.charges()
    with pytest.raises(Conflict, match="was executed"):
        await world.resolve(payment)
    with pytest.raises(Conflict, match="another reference of ours"):
        await world.resolve(payment, first["id"])
    with pytest.raises(Conflict, match="knows no such charge"):
        await world.resolve(payment, "ch_that_there_is_not")
    await world.expect()
    assert await world.fetch("SELECT * FROM audit_log WHERE action = 'payment.resolved'") == []


async def test_a_charge_of_another_amount_is_not_taken_for_it(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await stuck(world, simulator)
    await taken_by_hand(world, simulator, 999)
    with pytest.raises(Conflict, match="took 999 EUR, not 1000 EUR"):
        await world.resolve(payment, world.charges()[-1]["id"])
    with pytest.raises(Conflict, match="was executed"):
        await world.resolve(payment)


async def taken_by_hand(
    world: World, simulator: SimulatorProcess, amount: int, currency: str = "EUR"
) -> str:
    """Somebody takes money at the gateway under the reference of the stuck attempt."""
    found = await attempt(world)
    body = {"reference": found["reference"], "amount": amount, "currency": currency}
    made = simulator.request(
        "POST",
        "/v1/charges",
        json=body | {"payment_method": "pm_sim_ok"},
        headers={"Idempotency-Key": "by-hand-" + found["reference"]},
    )
    return str(made["id"])


@pytest.mark.parametrize(
    ("amount", "currency", "paid", "credit"),
    [(600, "EUR", 600, {}), (1200, "EUR", 0, {"EUR": 1200}), (700, "USD", 0, {"USD": 700})],
)
async def test_a_charge_of_another_amount_is_closed_and_is_a_difference_to_mend(
    world: World,
    simulator: SimulatorProcess,
    amount: int,
    currency: str,
    paid: int,
    credit: dict[str, int],
) -> None:
    payment = await stuck(world, simulator)
    charge = await taken_by_hand(world, simulator, amount, currency)
    await other_amount(world, payment, charge)
    await world.expect("payment.voided", "reconciliation_difference.found")
    await moving_on(world, days=1)
    assert len(await world.attempts()) == 2, "nothing is charged in its place by itself"
    [found] = await world.fetch("SELECT * FROM reconciliation_differences")
    assert (found["kind"], found["amount_there"]) == ("charge_after_closing", amount)
    await reconciliation_repairs.repair(world.rt, world.caller, RepairDifference(found["id"]))
    row = (await world.payments())[1]
    [invoice] = await world.fetch("SELECT * FROM invoices WHERE id = $1", row["invoice_id"])
    assert invoice["amount_paid"] == paid
    balances = await world.fetch("SELECT currency, balance FROM customer_balances")
    assert {one["currency"]: one["balance"] for one in balances if one["balance"]} == credit


async def test_a_charge_of_just_that_amount_is_no_other(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await stuck(world, simulator, "error_500_after")
    first, second = world.charges()
    with pytest.raises(Conflict, match="exactly what was asked"):
        await other_amount(world, payment, second["id"])
    with pytest.raises(Conflict, match="another reference of ours"):
        await other_amount(world, payment, first["id"])


async def other_amount(world: World, payment: UUID, charge: str) -> None:
    cmd = ResolvePayment(payment, Verdict.OTHER_AMOUNT, charge)
    await resolve(world.rt, world.caller, cmd)


async def test_nobody_s_word_is_taken_once_the_gateway_is_asked_again(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await stuck(world, simulator)
    simulator.set_fault("latency", delay_ms=500, operations=["lookup"], count=1)
    saying = asyncio.create_task(world.resolve(payment))
    await until(lambda: simulator.request("GET", "/v1/faults")["faults"][0]["count"] == 0)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:  # a comparison begins
        await tx.run("UPDATE payment_attempts SET look_up_at = $1 WHERE look_ups > 0", world.now)
    with pytest.raises(Conflict, match="still being asked"):
        await saying
    assert (await attempt(world))["status"] == "unknown"


async def test_nobody_s_word_is_taken_once_it_was_sent_again(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await stuck(world, simulator)
    simulator.set_fault("latency", delay_ms=500, operations=["lookup"], count=1)
    saying = asyncio.create_task(world.resolve(payment))
    await until(lambda: simulator.request("GET", "/v1/faults")["faults"][0]["count"] == 0)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run("UPDATE payment_attempts SET last_sent_at = $1 WHERE look_ups > 0", world.now)
    with pytest.raises(Conflict, match="sent again meanwhile"):
        await saying
    assert (await attempt(world))["status"] == "unknown"


async def test_while_there_is_something_to_find_out_nobody_s_word_is_taken(
    world: World, simulator: SimulatorProcess
) -> None:
    await world.subscribed("1000")
    simulator.set_fault("error_500_before", count=1)
    await world.advance(months=1, expect=[*RENEWAL, "payment.unknown"])
    payment = (await world.payments())[-1]["id"]
    with pytest.raises(Conflict, match="still being asked"):
        await world.resolve(payment)
    settled = (await world.payments())[0]["id"]
    with pytest.raises(Conflict, match="succeeded"):
        await world.resolve(settled)


async def test_a_word_that_makes_no_sense_is_refused(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await stuck(world, simulator)
    for cmd in (
        ResolvePayment(payment, Verdict.SUCCEEDED),
        ResolvePayment(payment, Verdict.NOT_EXECUTED, "ch_1"),
    ):
        with pytest.raises(InvalidRequest, match="own reference"):
            await resolve(world.rt, world.caller, cmd)


async def test_while_the_gateway_is_silent_nobody_s_word_is_taken(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await stuck(world, simulator)
    simulator.set_fault("error_500_before", operations=["lookup"])
    for reference in (None, "ch_1"):
        with pytest.raises(Unavailable):
            await world.resolve(payment, reference)


async def test_an_effect_that_may_still_come_is_waited_for(
    world: World, simulator: SimulatorProcess
) -> None:
    """A person is not quicker than the gateway's latest effect."""
    await world.subscribed("1000")
    simulator.set_fault("error_500_before", count=1)
    await world.advance(months=1, expect=[*RENEWAL, "payment.unknown"])
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run("UPDATE payment_attempts SET look_up_at = NULL WHERE status = 'unknown'")
    payment = (await world.payments())[-1]["id"]
    with pytest.raises(Conflict, match="may still have its effect"):
        await world.resolve(payment)
    world.clock.advance(timedelta(minutes=5))
    await world.resolve(payment)
    await world.expect("payment.voided")


async def test_news_of_money_after_a_person_s_word_is_told_to_a_person(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await stuck(world, simulator)
    before = await world.last_attempt()
    await world.resolve(payment)
    await world.told()
    late = Succeeded("ch_late", 1000, "EUR")
    await payments.settle_all(world.rt, [(before, late)], world.now)
    await payments.settle_all(world.rt, [(before, Unknown("nothing"))], world.now)
    await world.expect()
    detail = (await attempt(world))["detail"]
    assert detail == "manual_review: captured as ch_late after it was closed"
