"""Charges whose answer did not come, at each kind of gateway: what is sent again, and what is not.

The judge is the simulator's own ledger, which really forgets keys where a gateway has none.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from app.db import sends
from app.services import customers, look_ups, payment_methods, refunds
from tests.simulator import SimulatorProcess
from tests.world import PAID, World, open_world, until

UNKNOWN = ("subscription.created", "invoice.finalized", "payment.unknown")
ACTIVE = (*PAID, "subscription.activated")
KINDS = ("native_key", "per_order", "fuzzy_window", "none")
HAPPENED = ("timeout_after_effect", "error_500_after", "cut_body")


@pytest.fixture
async def hasty(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    """A shop that waits for its gateway's answer no longer than a second."""
    simulator.clear_faults()
    async with open_world(clean_database, simulator, gateway_timeout_seconds=1) as opened:
        yield opened
    simulator.clear_faults()


def card(world: World) -> str:
    """A token that no other shop's customer has: nothing of theirs looks like a charge on it."""
    return f"pm_sim_ok_{world.caller.merchant_id.hex}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", HAPPENED)
async def test_what_happened_is_found_at_any_gateway(
    hasty: World, simulator: SimulatorProcess, kind: str, fault: str
) -> None:
    await hasty.speak_as(kind)
    simulator.set_fault(fault, count=1)
    await hasty.subscribe(await hasty.customer(card(hasty)), await hasty.price("1000"))
    await hasty.expect(*UNKNOWN)
    await hasty.advance(minutes=1, expect=ACTIVE)
    assert hasty.charged() == [(1000, "EUR")]
    await hasty.assert_clean()


@pytest.mark.parametrize("kind", ["native_key", "per_order"])
async def test_what_did_not_happen_is_sent_again_where_a_key_or_an_order_makes_it_safe(
    world: World, simulator: SimulatorProcess, kind: str
) -> None:
    await world.speak_as(kind)
    simulator.set_fault("error_500_before", count=1)
    await world.subscribe(await world.customer(card(world)), await world.price("1000"))
    await world.expect(*UNKNOWN)
    await world.advance(minutes=1, expect=ACTIVE)
    [attempt] = await world.attempts()
    assert (attempt["ordinal"], attempt["last_sent_at"]) == (1, world.now)
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


@pytest.mark.parametrize("kind", ["fuzzy_window", "none"])
async def test_what_did_not_happen_is_charged_anew_only_once_its_absence_is_proof(
    world: World, simulator: SimulatorProcess, kind: str
) -> None:
    # Effects come 90 s after they were asked for at the latest, and 60 s may go by before that.
    await world.speak_as(kind)
    simulator.set_fault("error_500_before", count=1)
    await world.subscribe(await world.customer(card(world)), await world.price("1000"))
    await world.expect(*UNKNOWN)
    await world.advance(seconds=30, expect=[])
    await world.advance(seconds=120, expect=[])
    [attempt] = await world.attempts()
    assert (attempt["status"], attempt["last_sent_at"]) == ("unknown", None)
    assert world.charges() == []
    await world.advance(minutes=10, expect=[])  # never executed: the payment is due again
    await world.advance(seconds=1, expect=ACTIVE)
    first, second = await world.attempts()
    assert (first["status"], second["status"]) == ("canceled", "succeeded")
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


async def test_what_another_worker_sends_again_meanwhile_is_not_closed(
    world: World, simulator: SimulatorProcess
) -> None:
    """A look-up outlives its lease: what it saw was so before the other call."""
    await world.speak_as("none")
    simulator.set_fault("error_500_before", count=1)
    await world.subscribe(await world.customer(card(world)), await world.price("1000"))
    await world.expect(*UNKNOWN)
    await world.advance(seconds=30, expect=[])
    await world.advance(seconds=120, expect=[])
    world.clock.advance(timedelta(minutes=10))
    looking = await looking_slowly(world, simulator)
    attempt = await world.last_attempt()
    async with world.rt.db.begin_system() as tx:
        key = attempt.merchant_id, attempt.id
        assert await sends.mark_sent(tx, key, "last_sent_at", None, world.now)
    await looking
    assert (await world.last_attempt()).status == "unknown"
    assert [payment["status"] for payment in await world.payments()] == ["unknown"]


async def test_what_was_closed_meanwhile_is_not_sent_again(
    world: World, simulator: SimulatorProcess, administrator: asyncpg.Connection
) -> None:
    simulator.set_fault("error_500_before", count=1)
    await world.subscribe(await world.customer(card(world)), await world.price("1000"))
    await world.expect(*UNKNOWN)
    world.clock.advance(timedelta(minutes=1))
    looking = await looking_slowly(world, simulator)
    await administrator.execute(
        "UPDATE payment_attempts SET status = 'canceled', settled_at = $1, look_up_at = NULL",
        world.now,
    )
    await administrator.execute("UPDATE payments SET status = 'requires_payment_method'")
    await looking
    assert world.charges() == []
    assert (await world.last_attempt()).last_sent_at is None


async def looking_slowly(world: World, simulator: SimulatorProcess) -> "asyncio.Task[int]":
    """A look-up that the gateway is at just now."""
    simulator.set_fault("latency", delay_ms=500, operations=["lookup"], count=1)
    looking = asyncio.create_task(look_ups.resolve_due(world.rt))
    await until(lambda: simulator.request("GET", "/v1/faults")["faults"][0]["count"] == 0)
    return looking


@pytest.mark.parametrize("kind", KINDS)
async def test_a_late_effect_is_one_charge_at_any_gateway(
    world: World, simulator: SimulatorProcess, kind: str
) -> None:
    await world.speak_as(kind)
    simulator.set_fault("late_effect", count=1, delay_ms=300)
    await world.subscribe(await world.customer(card(world)), await world.price("1000"))
    await world.expect(*UNKNOWN)
    await world.gateway_moves(1)
    await world.advance(minutes=1, expect=ACTIVE)
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


@pytest.mark.parametrize("fault", ["error_500_before", "error_500_after"])
async def test_an_order_whose_making_was_not_answered_is_used_and_no_other(
    world: World, simulator: SimulatorProcess, fault: str
) -> None:
    await world.speak_as("per_order")
    simulator.set_fault(fault, count=1, operations=["order"])
    await world.subscribe(await world.customer(card(world)), await world.price("1000"))
    await world.told()
    await world.advance(minutes=1, expect=ACTIVE)
    [attempt] = await world.attempts()
    orders = simulator.request("GET", "/v1/orders", params={"receipt": attempt["reference"]})
    assert len(orders["data"]) == 1
    await world.assert_clean()


async def test_a_repetition_is_the_same_request_whatever_has_changed_since(
    world: World, simulator: SimulatorProcess
) -> None:
    customer = await world.customer(name="Ada", email="ada@example.com")
    price = await world.price("1000")
    simulator.set_fault("error_500_before", count=1)
    await world.subscribe(customer, price)
    await world.expect(*UNKNOWN)
    written = (await world.attempts())[0]["request"]
    assert orjson.loads(written)["customer"]["name"] == "Ada"
    # Meanwhile the customer is renamed, and another charge of the same card succeeds.
    changes = {"name": "Augusta", "email": "augusta@example.com", "country": "GB"}
    await customers.update(
        world.rt, world.caller, customers.UpdateCustomer(customer, changes=changes)
    )
    await world.subscribe(customer, price)
    await world.told()
    await world.advance(minutes=1, expect=ACTIVE)
    first, second = await world.attempts()
    assert first["request"] == written
    assert orjson.loads(second["request"])["customer"]["name"] == "Augusta"
    # Both began before any charge of this card was known to have succeeded.
    assert [row["sequence"] for row in world.charges()] == ["initial", "initial"]
    await world.assert_clean()


async def test_what_the_network_calls_the_first_charge_goes_with_those_that_follow(
    world: World,
) -> None:
    sub = await world.subscribed("1000")
    await world.advance_quietly(days=31)
    await world.advance_quietly(days=31)
    first, second, third = world.charges()
    named = f"nti{first['id'][-12:]}"
    assert [row["sequence"] for row in (first, second, third)] == [
        "initial",
        "subsequent",
        "subsequent",
    ]
    assert [row["network_transaction_id"] for row in (first, second, third)] == [None, named, named]
    [method] = await world.fetch("SELECT * FROM payment_methods")
    assert method["network_transaction_id"] == named
    assert method["network_transaction_amount"] == 1000
    request = orjson.loads((await world.attempts())[-1]["request"])
    assert request["original_amount_minor"] == 1000
    assert await world.status(sub) == "active"


async def test_an_attempt_of_which_nothing_was_written_down_is_never_sent_again(
    world: World, simulator: SimulatorProcess
) -> None:
    simulator.set_fault("error_500_before", count=1)
    await world.subscribe(await world.customer(card(world)), await world.price("1000"))
    await world.expect(*UNKNOWN)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run("UPDATE payment_attempts SET request = NULL")
    await world.advance(minutes=1, expect=[])
    assert world.charges() == []
    await world.assert_clean()


# Refunds


async def paid(world: World, kind: str) -> Any:
    await world.speak_as(kind)
    await world.subscribed("1000", token=card(world))
    [payment] = await world.payments()
    return payment


async def the_refund(world: World) -> tuple[str, int]:
    [row] = await world.fetch("SELECT * FROM refunds")
    return row["status"], row["amount"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refund_that_happened_is_found_at_any_gateway(
    world: World, simulator: SimulatorProcess, kind: str
) -> None:
    payment = await paid(world, kind)
    simulator.set_fault("error_500_after", operations=["refund"], count=1)
    await world.refund(payment["id"], 400)
    await world.advance(minutes=1, expect=["refund.succeeded"])
    assert world.refunded() == [400]
    await world.assert_clean()


async def test_a_refund_without_a_key_is_not_sent_again_but_believed_absent_in_time(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await paid(world, "none")
    simulator.set_fault("error_500_before", operations=["refund"], count=1)
    await world.refund(payment["id"], 400)
    await world.advance(minutes=1, expect=[])
    assert await the_refund(world) == ("unknown", 400)
    await world.advance(minutes=10, expect=["refund.failed"])
    assert world.refunded() == []
    await world.refund(payment["id"], 400)
    await world.expect("refund.succeeded")
    assert world.refunded() == [400]
    await world.assert_clean()


async def test_a_refund_is_asked_for_in_the_same_words_again(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await paid(world, "native_key")
    simulator.set_fault("error_500_before", operations=["refund"], count=1)
    await world.refund(payment["id"], 400)
    [before] = await world.fetch("SELECT request FROM refunds")
    [method] = await world.fetch("SELECT id FROM payment_methods")
    cmd = payment_methods.UpdatePaymentMethod(method["id"], {"expiry_year": 2040})
    await payment_methods.update(world.rt, world.caller, cmd)
    await world.advance(minutes=1, expect=["refund.succeeded"])
    [after] = await world.fetch("SELECT request, last_sent_at FROM refunds")
    assert (after["request"], after["last_sent_at"]) == (before["request"], world.now)
    assert orjson.loads(after["request"])["payment_amount_minor"] == 1000
    await world.assert_clean()


async def test_a_refund_that_was_never_sent_is_sent(world: World) -> None:
    """The process died after the reservation and before anything was written down of the call."""
    payment = await paid(world, "none")
    await refunds.reserve(world.rt, world.caller, refunds.CreateRefund(payment["id"], 400))
    await world.advance(minutes=4, expect=["refund.succeeded"])
    assert world.refunded() == [400]
    await world.assert_clean()
