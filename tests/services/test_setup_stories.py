"""A customer enters a payment method at the gateway: once it is kept there, it is attached here.

Whoever brings the news, it leads to one payment method; what was lost on the way is begun again.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.errors import InvalidRequest, NotFound
from app.domain.setup_session import LIFE, SEND_LEASE, START_DELAYS
from app.services import customers, inbox_settling, setup_calls, setup_sessions
from app.services.setup_sessions import CreateSetupSession, Opened
from tests.gateway_events import event, post_of
from tests.simulator import SimulatorProcess
from tests.world import STARTED, World

pytestmark = pytest.mark.anyio


async def begun(world: World, customer: UUID | None = None, **options: Any) -> Opened:
    cmd = CreateSetupSession(customer or await world.customer(None), **options)
    return await setup_sessions.create(world.rt, world.caller, cmd)


async def row_of(world: World, opened: Opened) -> Any:
    [row] = await world.fetch("SELECT * FROM setup_sessions WHERE id = $1", opened.session["id"])
    return row


async def methods(world: World) -> list[Any]:
    return await world.fetch("SELECT * FROM payment_methods ORDER BY id")


async def attached(world: World) -> int:
    [row] = await world.fetch(
        "SELECT count(*) AS n FROM events WHERE type = 'payment_method.attached'"
    )
    return row["n"]


def confirm(world: World, reference: str, secret: str, **body: Any) -> None:
    """The customer does their part, with the secret that the page was given."""
    assert world.simulator is not None
    given = {"client_secret": secret} | body
    world.simulator.request("POST", f"/setups/{reference}/confirm", json=given)


async def complete(world: World, opened: Opened, **parameters: str) -> str:
    session = await setup_sessions.complete(
        world.rt, world.caller, opened.session["id"], None, parameters
    )
    return session.status


async def test_a_method_is_entered_kept_attached_and_charged(world: World) -> None:
    customer = await world.customer(None)
    opened = await begun(world, customer, make_default=True)
    session = await row_of(world, opened)
    assert (session["status"], session["flow"]) == ("open", "client_secret")
    assert opened.handover.client_secret.startswith(session["gateway_reference"])
    assert await complete(world, opened) == "open", "the customer has not finished"
    await world.expect()
    confirm(world, session["gateway_reference"], opened.handover.client_secret)
    assert await complete(world, opened) == "completed"
    await world.expect("setup_session.completed")
    [method] = await methods(world)
    assert (method["brand"], method["last_four"], method["is_usable"]) == ("visa", "4242", True)
    assert method["network_transaction_id"].startswith("nti")
    assert method["gateway_customer_reference"] == session["gateway_customer_reference"]
    after = await row_of(world, opened)
    assert (after["payment_method_id"], after["handover_ciphertext"]) == (method["id"], None)
    await world.subscribe(customer, await world.price("1000"))
    await world.expect(*STARTED)
    await world.assert_clean()


async def test_once_completed_it_stays_one_method_however_often_that_is_said(world: World) -> None:
    post = await post_of(world)
    opened = await begun(world)
    session = await row_of(world, opened)
    confirm(world, session["gateway_reference"], opened.handover.client_secret)
    told = {"object": "setup", "id": session["gateway_reference"], "reference": session["code"]}
    for _ in range(3):
        await post.bring(event("setup.succeeded", told))
    await asyncio.gather(
        complete(world, opened), complete(world, opened), inbox_settling.settle_due(world.rt)
    )
    world.clock.advance(timedelta(hours=1))
    await setup_calls.settle_due(world.rt)
    assert len(await methods(world)) == 1
    assert await attached(world) == 1
    await world.expect("setup_session.completed")


async def test_a_webhook_completes_it_without_the_page(world: World) -> None:
    post = await post_of(world)
    opened = await begun(world)
    session = await row_of(world, opened)
    confirm(world, session["gateway_reference"], opened.handover.client_secret)
    told = {"object": "setup", "id": session["gateway_reference"], "reference": session["code"]}
    await post.bring(event("setup.succeeded", told))
    assert (await inbox_settling.settle_due(world.rt)).settled == 1
    await world.expect("setup_session.completed")
    assert len(await methods(world)) == 1


async def test_the_sweep_finds_it_when_nobody_says_a_word(world: World) -> None:
    opened = await begun(world)
    session = await row_of(world, opened)
    confirm(world, session["gateway_reference"], opened.handover.client_secret)
    assert await setup_calls.settle_due(world.rt) == 0
    world.clock.advance(timedelta(minutes=2))
    assert await setup_calls.settle_due(world.rt) == 1
    await world.expect("setup_session.completed")


async def test_a_refusal_ends_it(world: World) -> None:
    opened = await begun(world)
    session = await row_of(world, opened)
    secret = opened.handover.client_secret
    confirm(world, session["gateway_reference"], secret, decline_code="lost_or_stolen")
    assert await complete(world, opened) == "failed"
    await world.expect("setup_session.failed")
    after = await row_of(world, opened)
    assert (after["failure_code"], after["failure_category"]) == ("lost_or_stolen", "hard")
    assert await methods(world) == []


async def test_whoever_does_not_come_in_time_is_late(world: World) -> None:
    await begun(world)
    world.clock.advance(LIFE)
    await setup_calls.settle_due(world.rt)
    await world.expect("setup_session.expired")
    assert await setup_calls.settle_due(world.rt) == 0


async def test_who_is_late_but_was_taken_at_the_gateway_is_not_lost(world: World) -> None:
    post = await post_of(world)
    opened = await begun(world)
    session = await row_of(world, opened)
    world.clock.advance(LIFE)
    await setup_calls.settle_due(world.rt)
    await world.expect("setup_session.expired")
    confirm(world, session["gateway_reference"], opened.handover.client_secret)
    told = {"object": "setup", "id": session["gateway_reference"]}
    await post.bring(event("setup.succeeded", told))
    await inbox_settling.settle_due(world.rt)
    await world.expect("setup_session.completed")
    assert len(await methods(world)) == 1


@pytest.mark.parametrize("fault", ["error_500_before", "error_500_after", "cut_body", "error_429"])
async def test_what_the_gateway_did_not_answer_is_begun_again_with_the_same_code(
    world: World, simulator: SimulatorProcess, fault: str
) -> None:
    simulator.set_fault(fault, count=1, operations=["setup"])
    opened = await begun(world)
    assert opened.session["status"] == "starting"
    assert opened.handover.client_secret is None
    world.clock.advance(START_DELAYS[0])
    assert await setup_calls.settle_due(world.rt) == 1
    session = await row_of(world, opened)
    assert session["status"] == "open"
    again = await setup_sessions.open_again(world.rt, world.caller, session["id"], None)
    confirm(world, session["gateway_reference"], again.handover.client_secret)
    assert await complete(world, opened) == "completed"


async def test_a_gateway_that_never_answers_fails_it_in_the_end(
    world: World, simulator: SimulatorProcess
) -> None:
    simulator.set_fault("error_500_before", operations=["setup", "customer"])
    opened = await begun(world)
    for delay in START_DELAYS:
        assert (await row_of(world, opened))["status"] == "starting"
        world.clock.advance(delay)
        await setup_calls.settle_due(world.rt)
    await world.expect("setup_session.failed")
    assert (await row_of(world, opened))["failure_code"] == "gateway_unreachable"


async def test_a_process_that_dies_before_the_call_leaves_a_session_that_is_begun_later(
    world: World, simulator: SimulatorProcess
) -> None:
    simulator.set_fault("timeout_before_effect", operations=["setup", "customer"])
    dying = asyncio.create_task(begun(world))
    async with asyncio.timeout(10):
        while not await world.fetch("SELECT id FROM setup_sessions"):  # noqa: ASYNC110  another's
            await asyncio.sleep(0.01)
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    simulator.clear_faults()
    assert await setup_calls.settle_due(world.rt) == 0, "its call may be under way"
    world.clock.advance(SEND_LEASE)
    assert await setup_calls.settle_due(world.rt) == 1
    [session] = await world.fetch("SELECT * FROM setup_sessions")
    assert session["status"] == "open"


async def test_the_gateway_gets_one_customer_for_each_of_ours_and_account(world: World) -> None:
    customer = await world.customer(None)
    first, second = await begun(world, customer), await begun(world, customer)
    references = {
        (await row_of(world, one))["gateway_customer_reference"] for one in (first, second)
    }
    assert len(references) == 1
    kept = await world.fetch("SELECT * FROM gateway_customers")
    assert [row["reference"] for row in kept] == list(references)


async def test_a_page_gets_in_by_the_client_token_alone(world: World) -> None:
    page = replace(world.caller, publishable=True)
    opened, other = await begun(world), await begun(world)
    session = opened.session["id"]
    found = await setup_sessions.open_again(world.rt, page, session, opened.client_token)
    assert found.handover.client_secret == opened.handover.client_secret
    for wrong in (None, "", other.client_token, opened.client_token + "x"):
        with pytest.raises(NotFound):
            await setup_sessions.open_again(world.rt, page, session, wrong)
        with pytest.raises(NotFound):
            await setup_sessions.complete(world.rt, page, session, wrong, {})
    row = await row_of(world, opened)
    assert opened.client_token not in str(dict(row))
    assert opened.handover.client_secret not in str(dict(row))


async def test_a_customer_who_is_gone_gets_no_method(world: World) -> None:
    customer = await world.customer(None)
    opened = await begun(world, customer)
    session = await row_of(world, opened)
    confirm(world, session["gateway_reference"], opened.handover.client_secret)
    await customers.delete(world.rt, world.caller, customer)
    assert await complete(world, opened) == "failed"
    await world.expect("setup_session.failed")
    assert await methods(world) == []


async def test_a_customer_or_account_that_is_not_there_is_refused(world: World) -> None:
    with pytest.raises(InvalidRequest, match="customer"):
        await begun(world, world.caller.merchant_id)
    with pytest.raises(InvalidRequest, match="gateway account"):
        await begun(world, gateway_account_id=world.caller.merchant_id)
