"""Payment methods between us and the gateway: renewed as it says, let go of, told in time."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.gateways import registry
from app.gateways.capabilities import News
from app.services import inbox_settling, kept_methods, payment_methods
from app.services.payment_methods import AttachPaymentMethod
from tests.gateway_events import Post, event, post_of
from tests.simulator import SimulatorProcess
from tests.world import RENEWED, STARTED, World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def post(world: World) -> AsyncIterator[Post]:
    yield await post_of(world)


async def attach(world: World, customer: UUID, token: str, **options: Any) -> UUID:
    cmd = AttachPaymentMethod(customer_id=customer, gateway_reference=token, **options)
    return (await payment_methods.attach(world.rt, world.caller, cmd))["id"]


async def method(world: World, id: UUID) -> Any:
    [row] = await world.fetch("SELECT * FROM payment_methods WHERE id = $1", id)
    return row


def kept(simulator: SimulatorProcess, token: str) -> dict[str, Any]:
    shown: dict[str, Any] = simulator.request("GET", f"/v1/payment_methods/{token}")
    return shown


async def test_what_the_gateway_keeps_is_written_down_when_it_says_so(
    world: World, post: Post, simulator: SimulatorProcess
) -> None:
    token = simulator.payment_method()
    pm = await attach(world, await world.customer(None), token, expiry_year=2027, expiry_month=1)
    await post.bring(event("payment_method.updated", kept(simulator, token)))
    assert (await inbox_settling.settle_due(world.rt)).settled == 1
    await world.expect("payment_method.updated")
    row = await method(world, pm)
    assert (row["expiry_month"], row["expiry_year"], row["last_four"]) == (12, 2034, "4242")
    [told] = await world.fetch("SELECT * FROM events WHERE type = 'payment_method.updated'")
    assert '"expiry_year":2027' in told["previous"].replace(" ", "")
    await post.bring(event("payment_method.updated", kept(simulator, token)))
    await inbox_settling.settle_due(world.rt)
    await world.expect()  # nothing is new


async def test_what_the_gateway_let_go_of_is_charged_no_more(
    world: World, post: Post, simulator: SimulatorProcess
) -> None:
    token = simulator.payment_method()
    customer = await world.customer(None)
    pm = await attach(world, customer, token, make_default=True)
    await world.subscribe(customer, await world.price("1000"))
    await world.expect(*STARTED)
    simulator.request("DELETE", f"/v1/payment_methods/{token}", headers={"Idempotency-Key": "k"})
    await post.bring(event("payment_method.detached", {"object": "payment_method", "id": token}))
    await inbox_settling.settle_due(world.rt)
    await world.expect("payment_method.updated")
    assert (await method(world, pm))["is_usable"] is False
    await world.advance(months=1, expect=RENEWED[:2])
    assert world.charged() == [(1000, "EUR")]
    [_, payment] = await world.payments()
    assert payment["status"] == "requires_payment_method"


async def test_events_about_methods_that_are_not_ours_are_ignored(
    world: World, post: Post, simulator: SimulatorProcess
) -> None:
    await post.bring(event("payment_method.updated", kept(simulator, simulator.payment_method())))
    assert (await inbox_settling.settle_due(world.rt)).ignored == 1
    [row] = await post.rows()
    assert row["reason"] == "not_ours"


async def test_a_detached_method_is_let_go_of_at_the_gateway_after_our_own_commit(
    world: World, simulator: SimulatorProcess
) -> None:
    token = simulator.payment_method()
    pm = await attach(world, await world.customer(None), token)
    simulator.set_fault("error_500_before", count=1, operations=["detach"])
    await payment_methods.detach(world.rt, world.caller, pm)
    await world.expect("payment_method.detached")
    assert kept(simulator, token)["is_usable"], "the gateway hears of it later"
    assert await kept_methods.detach_due(world.rt) == 1
    assert (await method(world, pm))["detached_at_gateway"] is None
    assert await kept_methods.detach_due(world.rt) == 0
    world.clock.advance(kept_methods.DETACH_DELAYS[0])
    assert await kept_methods.detach_due(world.rt) == 1
    row = await method(world, pm)
    assert (row["detached_at_gateway"], row["detach_due_at"]) == (world.now, None)
    assert not kept(simulator, token)["is_usable"]
    await world.expect()


async def test_a_gateway_is_not_told_while_a_charge_is_under_way_or_another_uses_the_token(
    world: World, simulator: SimulatorProcess
) -> None:
    token = simulator.payment_method("pm_sim_requires_action")
    customer = await world.customer(None)
    pm = await attach(world, customer, token, make_default=True)
    other = await attach(world, await world.customer(None), token)
    await world.subscribe(customer, await world.price("1000"))
    await world.told()
    await payment_methods.detach(world.rt, world.caller, pm)
    assert await kept_methods.detach_due(world.rt) == 0, "a charge waits for its customer"
    attempt = await world.last_attempt()
    [charge] = simulator.request("GET", "/v1/charges", params={"reference": attempt.reference})[
        "data"
    ]
    simulator.request(
        "POST", f"/actions/{charge['id']}/confirm", json={"client_secret": charge["client_secret"]}
    )
    await world.advance_quietly(minutes=10)
    assert await kept_methods.detach_due(world.rt) == 0, "another customer's is the same token"
    await payment_methods.detach(world.rt, world.caller, other)
    assert await kept_methods.detach_due(world.rt) == 2


async def test_a_card_is_told_of_before_its_last_month_ends_once(world: World) -> None:
    """It is 31 January 2026: a card that is good through February ends in 29 days."""
    customer = await world.customer(None)
    soon = await attach(world, customer, "pm_sim_ok_a", expiry_month=2, expiry_year=2026)
    await attach(world, customer, "pm_sim_ok_b", expiry_month=3, expiry_year=2026)
    await attach(world, customer, "pm_sim_ok_c", expiry_month=12, expiry_year=2025)
    await attach(world, customer, "pm_sim_ok_d")
    gone = await attach(world, customer, "pm_sim_ok_e", expiry_month=2, expiry_year=2026)
    await payment_methods.detach(world.rt, world.caller, gone)
    await world.told()
    assert await kept_methods.tell_expiring(world.rt) == 1
    await world.expect("payment_method.expiring")
    [told] = await world.fetch("SELECT * FROM events WHERE type = 'payment_method.expiring'")
    assert told["object_id"] == soon
    assert await kept_methods.tell_expiring(world.rt) == 0
    world.clock.set(datetime(2026, 3, 1, 23, tzinfo=UTC))
    assert await kept_methods.tell_expiring(world.rt) == 0, "31 days before the end of March"
    world.clock.set(datetime(2026, 3, 2, tzinfo=UTC))
    assert await kept_methods.tell_expiring(world.rt) == 1


async def test_a_card_that_was_renewed_is_told_of_again_when_that_one_ends(world: World) -> None:
    customer = await world.customer(None)
    pm = await attach(world, customer, "pm_sim_ok_a", expiry_month=2, expiry_year=2026)
    assert await kept_methods.tell_expiring(world.rt) == 1
    changes = {"expiry_year": 2027}
    cmd = payment_methods.UpdatePaymentMethod(pm, changes)
    await payment_methods.update(world.rt, world.caller, cmd)
    assert await kept_methods.tell_expiring(world.rt) == 0
    world.clock.set(datetime(2027, 2, 20, tzinfo=UTC))
    assert await kept_methods.tell_expiring(world.rt) == 1


async def test_on_a_test_clock_cards_expire_by_that_clock(world: World) -> None:
    clock = await world.test_clock()
    customer = await world.customer(None, test_clock_id=clock)
    await attach(world, customer, "pm_sim_ok_a", expiry_month=6, expiry_year=2026)
    await world.told()
    world.clock.set(datetime(2026, 6, 20, tzinfo=UTC))
    assert await kept_methods.tell_expiring(world.rt) == 0, "its own clock stands in January"
    await world.turn(clock, datetime(2026, 6, 15, tzinfo=UTC))
    await world.expect("payment_method.expiring")


async def test_gateways_that_tell_nothing_are_asked_once_a_week(
    world: World, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    polled = replace(registry.factory("simulator").capabilities, method_updates=News.POLL)
    monkeypatch.setattr(registry.factory("simulator"), "capabilities", polled, raising=False)
    token = simulator.payment_method()
    pm = await attach(world, await world.customer(None), token)
    assert await kept_methods.refresh_due(world.rt) == 0, "it was entered just now"
    world.clock.advance(timedelta(days=7, seconds=1))
    assert await kept_methods.refresh_due(world.rt) == 1
    await world.expect("payment_method.updated")
    assert (await method(world, pm))["last_four"] == "4242"
    assert await kept_methods.refresh_due(world.rt) == 0
    world.clock.advance(timedelta(days=7, seconds=1))
    assert await kept_methods.refresh_due(world.rt) == 1
    await world.expect()
