"""A customer's bank takes a charge back: told by webhook or asked for, posted, and told on."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from app.clock import SystemClock
from app.domain.errors import Conflict, InvalidRequest
from app.domain.policy import CancelCredit, CreditTo, When
from app.gateways import registry
from app.gateways.capabilities import News
from app.services import (
    disputes,
    gateway_accounts,
    inbox_settling,
    reconciliation_repairs,
    subscriptions,
)
from app.services.gateway_accounts import CreateGatewayAccount
from app.services.reconciliation_repairs import RepairDifference
from app.services.subscriptions import Cancel
from tests.billing import credit, where
from tests.gateway_events import Post, charge_elsewhere, charge_of, event, post_of
from tests.simulator import SimulatorProcess
from tests.world import PAID, World, open_world

pytestmark = pytest.mark.anyio


@pytest.fixture
async def post(world: World) -> AsyncIterator[Post]:
    yield await post_of(world)


async def sold(world: World) -> dict[str, Any]:
    """A charge of 10.00 that was paid, as the gateway has it."""
    await world.subscribed("1000")
    return charge_of(world.simulator, (await world.last_attempt()).reference)


def opened(simulator: SimulatorProcess, charge: dict[str, Any], **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = simulator.request(
        "POST", "/v1/disputes", json={"charge": charge["id"], "reason": "fraudulent"} | body
    )
    return made


def becomes(simulator: SimulatorProcess, dispute: dict[str, Any], status: str) -> dict[str, Any]:
    made: dict[str, Any] = simulator.request(
        "POST", f"/v1/disputes/{dispute['id']}", json={"status": status}
    )
    return made


async def hear(world: World, post: Post, dispute: dict[str, Any]) -> inbox_settling.Ran:
    await post.bring(event(f"dispute.{dispute['status']}", dispute))
    return await inbox_settling.settle_due(world.rt)


async def rows(world: World) -> list[Any]:
    return await world.fetch("SELECT * FROM disputes ORDER BY id")


async def test_a_dispute_is_opened_and_won(
    world: World, post: Post, simulator: SimulatorProcess
) -> None:
    """1,000 charged, 10 of it the fee; 1,000 withdrawn and 1,500 kept for the dispute."""
    dispute = opened(simulator, await sold(world))
    await hear(world, post, dispute)
    await world.expect("dispute.created")
    balance = await world.balance()
    assert (balance["disputes"], balance["gateway_fees"]) == (1000, 1510)
    assert balance["cash"] == 1000 - 10 - 1000 - 1500
    await world.assert_clean()
    await hear(world, post, becomes(simulator, dispute, "under_review"))
    await world.expect("dispute.updated")
    await hear(world, post, becomes(simulator, dispute, "won"))
    await world.expect("dispute.closed")
    balance = await world.balance()
    assert (balance.get("disputes", 0), balance["cash"]) == (0, 1000 - 10 - 1500)
    await world.assert_clean()


async def test_a_dispute_that_is_lost_is_a_loss(
    world: World, post: Post, simulator: SimulatorProcess
) -> None:
    dispute = opened(simulator, await sold(world), amount=600)
    await hear(world, post, dispute)
    await hear(world, post, becomes(simulator, dispute, "lost"))
    await world.expect("dispute.created", "dispute.closed")
    balance = await world.balance()
    assert (balance.get("disputes", 0), balance["dispute_losses"]) == (0, 600)
    [row] = await rows(world)
    assert (row["status"], row["withdrawn"], row["fee"]) == ("lost", 600, 1500)
    assert row["reason"] == "fraudulent"
    await world.assert_clean()


async def test_events_out_of_order_and_twice_end_where_the_gateway_stands(
    world: World, post: Post, simulator: SimulatorProcess
) -> None:
    dispute = opened(simulator, await sold(world))
    ended = becomes(simulator, dispute, "lost")
    for told in (ended, dispute, ended, dispute):
        await hear(world, post, told)
    await world.expect("dispute.created", "dispute.closed")
    await world.assert_clean()


async def test_a_dispute_that_is_told_before_its_payment_is_known_settles_that_first(
    world: World, post: Post, simulator: SimulatorProcess
) -> None:
    await world.subscribe(
        await world.customer("pm_sim_pending_then_succeeds"), await world.price("1000")
    )
    await world.told()
    await world.gateway_settles()
    charge = charge_of(simulator, (await world.last_attempt()).reference)
    await hear(world, post, opened(simulator, charge))
    await world.expect(*PAID, "subscription.activated", "dispute.created")
    await world.assert_clean()


async def test_what_a_dispute_took_is_not_refunded_as_well(
    world: World, post: Post, simulator: SimulatorProcess
) -> None:
    await hear(world, post, opened(simulator, await sold(world)))
    [payment] = await world.payments()
    with pytest.raises(Conflict) as refused:
        await world.refund(payment["id"], 1)
    assert refused.value.code == "payment_disputed"
    assert world.refunded() == []


async def test_nor_is_it_by_a_credit_note(
    world: World, post: Post, simulator: SimulatorProcess
) -> None:
    dispute = opened(simulator, await sold(world), amount=600)
    await hear(world, post, becomes(simulator, dispute, "lost"))
    [payment] = await world.payments()
    with pytest.raises(InvalidRequest, match="have 400 left to refund"):
        await credit(world, payment["invoice_id"], to_refund=1000)
    note = await credit(world, payment["invoice_id"], to_refund=400)
    assert where(note) == (0, 600, 400, 0)
    assert world.refunded() == [400]
    await world.assert_clean()


async def test_a_cancellation_gives_as_credit_what_a_dispute_keeps_it_from_refunding(
    world: World, post: Post, simulator: SimulatorProcess
) -> None:
    sub = await world.subscribed("2800")
    charge = charge_of(simulator, (await world.last_attempt()).reference)
    await hear(world, post, opened(simulator, charge))
    await world.advance(days=14, expect=["dispute.created"])
    cmd = Cancel(sub, When.NOW, CancelCredit.PRORATED, credit_to=CreditTo.REFUND)
    await subscriptions.cancel(world.rt, world.caller, cmd)
    await world.expect("subscription.canceled", "credit_note.created")
    assert world.refunded() == []
    [note] = await world.fetch("SELECT * FROM credit_notes")
    assert where(note) == (0, 1400, 0, 0)
    await world.assert_clean()


async def test_a_dispute_of_what_is_not_ours_is_an_orphan(
    world: World, post: Post, simulator: SimulatorProcess
) -> None:
    stray = charge_elsewhere(simulator, "elsewhere", 700)
    ran = await hear(world, post, opened(simulator, stray))
    assert ran.orphaned == 1
    assert await rows(world) == []


@pytest.fixture
async def polled(
    clean_database: str, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """A shop of today, since the gateway dates disputes by the real clock, and never tells."""
    simulator.clear_faults()
    silent = replace(registry.factory("simulator").capabilities, disputes=News.POLL)
    monkeypatch.setattr(registry.factory("simulator"), "capabilities", silent, raising=False)
    async with open_world(clean_database, simulator, at=SystemClock().now()) as opened_world:
        yield opened_world


async def test_where_a_gateway_tells_nothing_it_is_asked(
    polled: World, simulator: SimulatorProcess
) -> None:
    charge, rest = await sold(polled), disputes.POLL_EVERY + timedelta(seconds=1)
    assert await disputes.poll_due(polled.rt) == 0, "the account was opened just now"
    dispute = opened(simulator, charge)
    polled.clock.advance(rest)
    simulator.set_fault("error_500_before", count=1, operations=["lookup"])
    assert await disputes.poll_due(polled.rt) == 0, "the list breaks off"
    assert await disputes.poll_due(polled.rt) >= 1, "and is asked for again"
    await polled.expect("dispute.created")
    assert await disputes.poll_due(polled.rt) == 0, "every six hours"
    becomes(simulator, dispute, "won")
    polled.clock.advance(rest)
    await disputes.poll_due(polled.rt)
    polled.clock.advance(rest)
    await disputes.poll_due(polled.rt)
    await polled.expect("dispute.closed")
    await polled.assert_clean()


async def test_accounts_that_cannot_be_asked_are_in_nobody_s_way(
    polled: World, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disputes, "ACCOUNTS_AT_ONCE", 1)
    monkeypatch.setattr(disputes, "ROUNDS_MAX", 5)
    charge = await sold(polled)
    account = CreateGatewayAccount("simulator", name="Broken")
    broken = (await gateway_accounts.create(polled.rt, polled.caller, account))["id"]
    await polled.fetch(
        "UPDATE gateway_accounts SET credentials_ciphertext = 'x.unreadable',"
        " disputes_polled_at = created_at - interval '1 year' WHERE id = $1",
        broken,
    )
    await polled.fetch(
        "UPDATE gateway_accounts SET disputes_polled_at = created_at WHERE id <> $1", broken
    )
    opened(simulator, charge)
    polled.clock.advance(disputes.POLL_EVERY + timedelta(seconds=1))
    assert await disputes.poll_due(polled.rt) >= 1
    await polled.expect("dispute.created")


async def test_a_dispute_whose_payment_is_closed_here_is_asked_for_until_that_is_mended(
    polled: World, simulator: SimulatorProcess, administrator: asyncpg.Connection
) -> None:
    customer = await polled.customer("pm_sim_pending_then_succeeds")
    await polled.subscribe(customer, await polled.price("1000"))
    await administrator.execute(
        "UPDATE payment_attempts SET status = 'canceled', settled_at = created_at,"
        " gateway_reference = NULL, look_up_at = NULL"
    )
    await administrator.execute("UPDATE payments SET status = 'requires_payment_method'")
    await polled.gateway_settles()
    charge = charge_of(simulator, (await polled.last_attempt()).reference)
    opened(simulator, charge)
    for _ in range(3):
        polled.clock.advance(timedelta(days=4))
        await disputes.poll_due(polled.rt)
    assert await rows(polled) == []
    await (await post_of(polled)).bring(event("charge.succeeded", charge))
    await inbox_settling.settle_due(polled.rt)
    [late] = await polled.fetch("SELECT * FROM reconciliation_differences")
    await reconciliation_repairs.repair(polled.rt, polled.caller, RepairDifference(late["id"]))
    await disputes.poll_due(polled.rt)
    [dispute] = await rows(polled)
    assert (dispute["status"], dispute["withdrawn"]) == ("needs_response", 1000)
