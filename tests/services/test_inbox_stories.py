"""What gateways tell: a hint where to look, settled by looking, once, whatever the order."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import orjson
import pytest

from app.db import inbox as inbox_rows
from app.domain.inbox import DELAYS, Again, standing
from app.services import inbox, inbox_settling, reconciliation_repairs
from app.services.reconciliation_repairs import RepairDifference
from tests.gateway_events import Post, charge_elsewhere, charge_of, event, post_of, refund_of
from tests.world import PAID, STARTED, World

pytestmark = pytest.mark.anyio

PENDING = ("subscription.created", "invoice.finalized", "payment.processing")
ACTION = ("subscription.created", "invoice.finalized", "payment.action_required")
NOTICED = "reconciliation_difference.found"
ACTIVATED = (*PAID, "subscription.activated")


@pytest.fixture
async def post(world: World) -> AsyncIterator[Post]:
    yield await post_of(world)


async def settle(world: World) -> inbox_settling.Ran:
    return await inbox_settling.settle_due(world.rt)


async def subscribed(world: World, token: str) -> dict:
    """A subscription whose first charge waits at the gateway; the charge as the gateway has it."""
    await world.subscribe(await world.customer(token), await world.price("1000"))
    attempt = await world.last_attempt()
    return charge_of(world.simulator, attempt.reference)


async def test_a_charge_that_was_pending_is_settled_by_what_the_gateway_shows(
    world: World, post: Post
) -> None:
    charge = await subscribed(world, "pm_sim_pending_then_succeeds")
    await world.expect(*PENDING)
    await world.gateway_settles()
    taken = await post.bring(event("charge.succeeded", charge))
    assert (taken.events, taken.stored) == (1, 1)
    await world.expect()  # nothing happens before the worker looks
    ran = await settle(world)
    assert (ran.settled, ran.looked) == (1, 1)
    await world.expect(*ACTIVATED)
    await world.assert_clean()
    [row] = await post.rows()
    assert (row["status"], row["attempts"], row["kind"]) == ("settled", 1, "payment")


async def test_an_event_that_claims_more_than_the_gateway_shows_changes_nothing(
    world: World, post: Post
) -> None:
    charge = await subscribed(world, "pm_sim_requires_action")
    await world.expect(*ACTION)
    lie = charge | {"status": "succeeded", "amount": 1}
    await post.bring(event("charge.succeeded", lie))
    await settle(world)
    await world.expect()
    assert world.charged() == []


async def test_the_same_event_again_and_more_of_them_are_empty(world: World, post: Post) -> None:
    charge = await subscribed(world, "pm_sim_pending_then_succeeds")
    await world.expect(*PENDING)
    await world.gateway_settles()
    told = event("charge.succeeded", charge)
    assert (await post.bring(told)).stored == 1
    assert (await post.bring(told)).stored == 0
    await settle(world)
    await world.expect(*ACTIVATED)
    assert (await post.bring(told)).stored == 0
    await post.bring(event("charge.pending", charge))
    await post.bring(event("charge.succeeded", charge))
    assert (await settle(world)).settled == 2
    await world.expect()
    await world.assert_clean()


async def test_news_that_is_none_costs_no_look_up(world: World, post: Post) -> None:
    """Look-ups end with a person; what the gateway repeats by itself must not bring that about."""
    charge = await subscribed(world, "pm_sim_requires_action")
    before = await world.last_attempt()
    for _ in range(15):
        await post.bring(event("charge.requires_action", charge))
        await settle(world)
    after = await world.last_attempt()
    assert (after.look_ups, after.look_up_at, after.version) == (
        before.look_ups,
        before.look_up_at,
        before.version,
    )


async def test_what_waits_of_one_object_is_settled_by_one_look(world: World, post: Post) -> None:
    charge = await subscribed(world, "pm_sim_pending_then_succeeds")
    await world.gateway_settles()
    for _ in range(5):
        await post.bring(event("charge.succeeded", charge))
    async with world.rt.db.begin_system() as tx:
        lease = world.now + timedelta(minutes=5)
        claimed = await inbox_rows.claim(tx, world.now, lease, 100)
        again = await inbox_rows.claim(tx, world.now, lease, 100)
    assert [len(each.together) for each in claimed] == [5]
    assert again == []


async def test_a_worker_that_dies_in_the_middle_loses_nothing(world: World, post: Post) -> None:
    charge = await subscribed(world, "pm_sim_pending_then_succeeds")
    await world.told()
    await world.gateway_settles()
    await post.bring(event("charge.succeeded", charge))
    world.simulator.set_fault("latency", delay_ms=20_000, operations=["lookup"])
    dying = asyncio.create_task(settle(world))
    async with asyncio.timeout(10):
        while (await post.rows())[0]["lease_until"] is None:  # noqa: ASYNC110  another's row
            await asyncio.sleep(0.01)
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    world.simulator.clear_faults()
    assert (await settle(world)).looked == 0, "it is still leased"
    world.clock.advance(inbox_settling.LEASE)
    assert (await settle(world)).settled == 1
    await world.expect(*ACTIVATED)
    await world.assert_clean()


async def test_a_refund_that_was_pending_is_settled(world: World, post: Post) -> None:
    sub = await world.subscribed("1000", token="pm_sim_refund_pending")
    assert sub
    [payment] = await world.payments()
    refund = await world.refund(payment["id"], 400)
    await world.gateway_settles()
    [row] = await world.fetch("SELECT reference FROM refunds WHERE id = $1", refund)
    told = refund_of(world.simulator, row["reference"])
    await post.bring(event("refund.pending", told))
    await post.bring(event("refund.succeeded", told))
    assert (await settle(world)).settled == 2
    await world.expect("refund.succeeded")
    await world.assert_clean()


async def test_money_that_nothing_of_ours_accounts_for_is_kept_for_reconciliation(
    world: World, post: Post
) -> None:
    stray = charge_elsewhere(world.simulator, "elsewhere-1", 700)
    await post.bring(event("charge.succeeded", stray))
    ran = await settle(world)
    assert ran.orphaned == 1
    [row] = await post.rows()
    assert (row["status"], row["reason"]) == ("orphaned", "unknown_reference")
    assert (row["reference"], row["detail"]) == (stray["id"], "captured 700 EUR")
    await world.expect()


async def test_what_the_gateway_does_not_know_is_ignored_after_a_while(
    world: World, post: Post
) -> None:
    await post.bring(event("charge.succeeded", {"object": "charge", "id": "ch_nowhere"}))
    for wait in DELAYS[:3]:
        assert (await settle(world)).waiting == 1
        world.clock.advance(wait)
    await settle(world)
    [row] = await post.rows()
    assert (row["status"], row["reason"]) == ("ignored", "unknown_at_gateway")


async def test_while_the_gateway_is_away_events_wait_and_in_the_end_a_person_looks(
    world: World, post: Post
) -> None:
    charge = await subscribed(world, "pm_sim_pending_then_succeeds")
    await world.told()
    await world.gateway_settles()
    await post.bring(event("charge.succeeded", charge))
    world.simulator.set_fault("error_500_before", operations=["lookup"])
    for wait in DELAYS:
        assert (await settle(world)).waiting == 1
        assert (await settle(world)).looked == 0
        world.clock.advance(wait)
    assert (await settle(world)).parked == 1
    assert await post.statuses() == ["failed"]
    world.simulator.clear_faults()
    [row] = await post.rows()
    shown = await inbox.retry(world.rt, world.caller, post.account, row["id"])
    assert (shown["status"], shown["attempts"]) == ("received", 0)
    assert (await settle(world)).settled == 1
    await world.expect(*ACTIVATED)
    await world.assert_clean()


async def test_news_does_not_wait_for_an_older_event_that_backs_off(
    world: World, post: Post
) -> None:
    """The gateway was away for hours; the object's next event is asked about at once."""
    charge = await subscribed(world, "pm_sim_pending_then_succeeds")
    await world.told()
    await world.gateway_settles()
    await post.bring(event("charge.pending", charge))
    world.simulator.set_fault("error_500_before", operations=["lookup"])
    for wait in DELAYS[:7]:
        assert (await settle(world)).waiting == 1
        world.clock.advance(wait)
    assert (await settle(world)).waiting == 1
    world.simulator.clear_faults()
    assert (await settle(world)).looked == 0, "for six hours"
    world.clock.advance(timedelta(seconds=1))
    await post.bring(event("charge.succeeded", charge))
    assert (await settle(world)).settled == 2
    await world.expect(*ACTIVATED)
    await world.assert_clean()


async def test_news_that_comes_while_the_gateway_is_asked_is_asked_about_next(
    world: World, post: Post
) -> None:
    charge = await subscribed(world, "pm_sim_pending_then_succeeds")
    await world.gateway_settles()
    await post.bring(event("charge.pending", charge))
    async with world.rt.db.begin_system() as tx:
        [claimed] = await inbox_rows.claim(tx, world.now, world.now + timedelta(minutes=5), 100)
    await post.bring(event("charge.succeeded", charge))
    late = standing(Again("timeout"), 9)
    async with world.rt.db.begin_system() as tx:
        await inbox_rows.stand(tx, claimed, late, world.now)
    assert (await settle(world)).settled == 2


async def test_one_object_that_fails_holds_up_no_other(world: World, post: Post) -> None:
    broken = event("charge.succeeded", {"object": "charge", "id": "ch_nowhere"})
    await post.bring(broken)
    charge = await subscribed(world, "pm_sim_pending_then_succeeds")
    await world.told()
    await world.gateway_settles()
    await post.bring(event("charge.succeeded", charge))
    ran = await settle(world)
    assert (ran.settled, ran.waiting) == (1, 1)
    await world.expect(*ACTIVATED)


async def test_what_is_of_no_use_is_kept_and_ignored_at_once(world: World, post: Post) -> None:
    await post.bring(event("balance.available", {"object": "balance", "id": "b_1"}))
    [row] = await post.rows()
    assert (row["status"], row["reason"], row["due_at"]) == ("ignored", "not_acted_upon", None)
    assert (await settle(world)).looked == 0


async def test_settled_events_are_forgotten_in_time_and_the_others_are_not(
    world: World, post: Post
) -> None:
    await post.bring(event("balance.available", {"object": "balance", "id": "b_1"}))
    stray = charge_elsewhere(world.simulator, "elsewhere-2", 700)
    await post.bring(event("charge.succeeded", stray))
    await settle(world)
    world.clock.advance(timedelta(days=world.rt.settings.inbound_event_days))
    assert await inbox.forget_old(world.rt) == 0
    world.clock.advance(timedelta(seconds=1))
    assert await inbox.forget_old(world.rt) == 1
    assert await post.statuses() == ["orphaned"]


async def test_a_late_success_of_a_closed_attempt_is_never_silent(world: World, post: Post) -> None:
    """The gateway captured under our reference twice: the second is an orphan and a review."""
    await world.subscribe(await world.customer(), await world.price("1000"))
    await world.expect(*STARTED)
    attempt = await world.last_attempt()
    second = charge_elsewhere(world.simulator, attempt.reference, 1000)
    await post.bring(event("charge.succeeded", second))
    assert (await settle(world)).orphaned == 1
    [row] = await post.rows()
    assert row["reason"] == "captured_again"
    assert (await world.last_attempt()).detail.startswith("manual_review")
    await world.expect(NOTICED)
    await post.bring(event("charge.succeeded", second))
    await settle(world)
    await world.expect()  # told once
    [difference] = await world.fetch("SELECT * FROM reconciliation_differences")
    assert (difference["kind"], difference["gateway_reference"]) == ("charged_twice", second["id"])
    assert (difference["amount_here"], difference["amount_there"]) == (1000, 1000)


async def test_a_payment_that_is_let_go_of_at_the_gateway_is_never_silent(
    world: World, post: Post, administrator: asyncpg.Connection
) -> None:
    """Voided in the gateway's own pages, weeks ago: no nightly comparison reaches so far back."""
    customer = await world.customer("pm_sim_requires_action")
    await world.subscribe(customer, await world.price("1000"))
    await world.told()
    attempt = await world.last_attempt()
    charge = charge_of(world.simulator, attempt.reference)
    body = {"client_secret": charge["client_secret"], "decline_code": "generic"}
    world.simulator.request("POST", f"/actions/{charge['id']}/confirm", json=body)
    await administrator.execute(
        "UPDATE payment_attempts SET status = 'succeeded', settled_at = created_at"
    )
    await administrator.execute(
        "UPDATE payments SET status = 'succeeded', amount_captured = amount"
    )
    for _ in range(2):
        await post.bring(event("charge.voided", charge))
        assert (await settle(world)).orphaned == 1
    [row, _] = await post.rows()
    assert (row["reason"], row["detail"]) == ("undone_there", "1000 EUR are not taken any more")
    assert (await world.last_attempt()).detail.startswith("manual_review")
    await world.expect(NOTICED)
    [difference] = await world.fetch("SELECT * FROM reconciliation_differences")
    assert difference["kind"] == "charge_undone_there"
    cmd = RepairDifference(difference["id"])
    await reconciliation_repairs.repair(world.rt, world.caller, cmd)
    [payment] = await world.payments()
    assert payment["amount_refunded"] == 1000
    assert "reconciliation_difference.resolved" in await world.told()


async def test_a_refund_made_in_the_gateways_pages_is_told_and_recorded_by_one_call(
    world: World, post: Post
) -> None:
    await world.subscribed("1000")
    [attempt] = await world.attempts()
    body = {"charge": attempt["gateway_reference"], "reference": "by-hand", "amount": 400}
    made = world.simulator.request(
        "POST",
        "/v1/refunds",
        json=body | {"currency": "EUR"},
        headers={"Idempotency-Key": secrets.token_hex(16)},
    )
    await post.bring(event("refund.succeeded", made))
    assert (await settle(world)).orphaned == 1
    await world.expect(NOTICED)
    [difference] = await world.fetch("SELECT * FROM reconciliation_differences")
    assert (difference["kind"], difference["reconciliation_id"]) == ("refund_unknown_here", None)
    cmd = RepairDifference(difference["id"])
    await reconciliation_repairs.repair(world.rt, world.caller, cmd)
    assert (await world.payments())[0]["amount_refunded"] == 400
    await post.bring(event("refund.succeeded", made))
    assert (await settle(world)).settled == 1


async def test_what_the_gateway_did_twice_is_told_by_the_event_that_shows_it(
    world: World, post: Post, administrator: asyncpg.Connection
) -> None:
    """An event that names only our reference: what is found under it are two charges."""
    await world.subscribe(await world.customer(), await world.price("1000"))
    await world.told()
    attempt = await world.last_attempt()
    second = charge_elsewhere(world.simulator, attempt.reference, 1000)
    await post.bring(event("charge.succeeded", charge_of(world.simulator, attempt.reference)))
    await administrator.execute("UPDATE inbound_events SET reference = NULL")
    assert (await settle(world)).orphaned == 1
    await world.expect(NOTICED)
    [difference] = await world.fetch("SELECT * FROM reconciliation_differences")
    assert (difference["kind"], difference["gateway_reference"]) == ("charged_twice", second["id"])


async def test_a_refund_that_the_bank_sends_back_is_undone_in_the_books(
    world: World, post: Post
) -> None:
    """It succeeded weeks ago; now it has failed, and its money is at the gateway again."""
    await world.subscribed("1000")
    [payment] = await world.payments()
    refund = await world.refund(payment["id"], 400)
    await world.expect("refund.succeeded")
    world.clock.advance(timedelta(days=20))
    [row] = await world.fetch("SELECT * FROM refunds WHERE id = $1", refund)
    path = f"/v1/refunds/{row['gateway_reference']}/return"
    back = world.simulator.request("POST", path, json={"failure_code": "account_closed"})
    for _ in range(2):
        await post.bring(event("refund.failed", back))
        assert (await settle(world)).settled == 1
    await world.expect("refund.failed")
    [failed] = await world.fetch("SELECT * FROM refunds")
    assert (failed["status"], failed["detail"]) == ("failed", "account_closed")
    assert failed["settled_at"] == world.now
    [told] = await world.fetch("SELECT * FROM events WHERE type = 'refund.failed'")
    assert orjson.loads(told["previous"])["status"] == "succeeded"
    # 10.00 less the fee of 0.10: the 4.00 are back, and may be given back by another way.
    books = await world.balance()
    assert (books["cash"], "refunds" in books) == (990, False)
    [payment] = await world.payments()
    assert payment["amount_refunded"] == 0
    await world.refund(payment["id"], 1000)
    await world.expect("refund.succeeded")
    await world.assert_clean()


async def test_a_refund_that_goes_out_after_it_had_failed_is_booked_as_it_is(
    world: World, post: Post, administrator: asyncpg.Connection
) -> None:
    await world.subscribed("1000", token="pm_sim_refund_pending")
    [payment] = await world.payments()
    refund = await world.refund(payment["id"], 400)
    await administrator.execute(
        "UPDATE refunds SET status = 'failed', settled_at = created_at, look_up_at = NULL"
    )
    await administrator.execute("UPDATE payments SET amount_refund_reserved = 0")
    await world.gateway_settles()
    [row] = await world.fetch("SELECT reference FROM refunds WHERE id = $1", refund)
    await post.bring(event("refund.updated", refund_of(world.simulator, row["reference"])))
    assert (await settle(world)).settled == 1
    await world.expect("refund.succeeded")
    await world.assert_clean()


async def test_a_refund_that_goes_out_though_all_went_back_otherwise_is_never_silent(
    world: World, post: Post, administrator: asyncpg.Connection
) -> None:
    """Our books cannot say that more went back than came: a person has to look."""
    await world.subscribed("1000", token="pm_sim_refund_pending")
    [payment] = await world.payments()
    refund = await world.refund(payment["id"], 400)
    await administrator.execute(
        "UPDATE refunds SET status = 'failed', settled_at = created_at, look_up_at = NULL"
    )
    await administrator.execute(
        "UPDATE payments SET amount_refund_reserved = 0, amount_refunded = 700"
    )
    await world.gateway_settles()
    [row] = await world.fetch("SELECT reference FROM refunds WHERE id = $1", refund)
    await post.bring(event("refund.updated", refund_of(world.simulator, row["reference"])))
    assert (await settle(world)).orphaned == 1
    [told] = await post.rows()
    assert (told["reason"], told["detail"]) == (
        "refunded_otherwise",
        "400 EUR went out after it had failed here",
    )
    await world.expect()
