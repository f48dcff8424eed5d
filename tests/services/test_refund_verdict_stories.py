"""Refunds that wait for a person, and what is made of a person's word."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.clock import SystemClock
from app.db import payments
from app.domain.errors import Conflict, InvalidRequest, NotFound, Unavailable
from app.ids import new_id
from app.services import inbox_settling, reconciliation, reconciliation_repairs, refund_calls
from app.services.reconciliation import CreateReconciliation
from app.services.reconciliation_repairs import RepairDifference
from app.services.refund_verdicts import ResolveRefund, resolve
from app.services.verdicts import Verdict
from tests.gateway_events import event, post_of, refund_of
from tests.simulator import SimulatorProcess
from tests.world import World, until

SILENT = {"kind": "error_500_before", "operations": ["lookup"]}


async def stuck(
    world: World,
    simulator: SimulatorProcess,
    fault: str = "error_500_before",
    token: str = "pm_sim_ok",
) -> UUID:
    """A refund of 4.00 out of 10.00 of which nothing can be found out."""
    await world.subscribed("1000", token=token)
    simulator.set_faults({"kind": fault, "operations": ["refund"], "count": 1}, SILENT)
    [payment] = await world.payments()
    refund = await world.refund(payment["id"], 400)
    await until_nobody_asks(world)
    simulator.clear_faults()
    return refund


async def until_nobody_asks(world: World) -> None:
    for _ in range(14):
        await world.advance(days=1, expect=[])
    assert (await the_refund(world))["look_up_at"] is None


async def the_refund(world: World) -> Any:
    return (await world.fetch("SELECT * FROM refunds ORDER BY id"))[0]


async def says(world: World, refund: UUID, reference: str | None = None) -> None:
    """A person says that it succeeded as `reference`; without one, that it never was."""
    verdict = Verdict.NOT_EXECUTED if reference is None else Verdict.SUCCEEDED
    await resolve(world.rt, world.caller, ResolveRefund(refund, verdict, reference))


async def made_by_hand(world: World, simulator: SimulatorProcess, amount: int) -> dict[str, Any]:
    """Somebody gives money back at the gateway under the reference of the stuck refund."""
    [attempt] = await world.attempts()
    reference = (await the_refund(world))["reference"]
    body = {"charge": attempt["gateway_reference"], "reference": reference, "amount": amount}
    made: dict[str, Any] = simulator.request(
        "POST",
        "/v1/refunds",
        json=body | {"currency": "EUR"},
        headers={"Idempotency-Key": "by-hand-" + reference},
    )
    return made


async def set_aside(world: World) -> tuple[int, int]:
    """(refunded, reserved) of the payment."""
    [payment] = await world.payments()
    return payment["amount_refunded"], payment["amount_refund_reserved"]


async def compared(world: World, began: datetime) -> list[str]:
    """What is open after a comparison an hour later."""
    world.clock.advance(timedelta(hours=1))
    [account] = await world.fetch("SELECT id FROM gateway_accounts")
    cmd = CreateReconciliation(account["id"], began, world.now)
    made = await reconciliation.create(world.rt, world.caller, cmd)
    assert await reconciliation.run_due(world.rt, made) == 1
    rows = await world.fetch("SELECT kind FROM reconciliation_differences WHERE status = 'open'")
    return [row["kind"] for row in rows]


async def deeds(world: World) -> list[Any]:
    return await world.fetch("SELECT * FROM audit_log WHERE action = 'refund.resolved'")


async def test_a_person_who_found_the_refund_says_which_it_is(
    world: World, simulator: SimulatorProcess
) -> None:
    refund = await stuck(world, simulator, "error_500_after")
    made = refund_of(simulator, (await the_refund(world))["reference"])["id"]
    await says(world, refund, made)
    await world.expect("refund.succeeded")
    assert (await set_aside(world), world.refunded()) == ((400, 0), [400])
    assert (await world.balance())["refunds"] == 400
    [deed] = await deeds(world)
    assert made in str(dict(deed))
    await world.assert_clean()


async def test_a_person_who_found_nothing_frees_what_was_reserved(
    world: World, simulator: SimulatorProcess
) -> None:
    refund = await stuck(world, simulator)
    [payment] = await world.payments()
    with pytest.raises(InvalidRequest, match="Between 1 and 600"):
        await world.refund(payment["id"], 1000)
    await says(world, refund)
    await world.expect("refund.failed")
    row = await the_refund(world)
    assert (row["status"], row["detail"]) == ("failed", "not executed, as a person says")
    assert await set_aside(world) == (0, 0)
    await world.advance(hours=1, expect=[])  # nobody sends by himself what a person has freed
    await world.refund(payment["id"], 400)
    await world.expect("refund.succeeded")
    assert world.refunded() == [400]
    await world.assert_clean()


async def test_a_refund_that_the_gateway_refused_has_failed_as_it_says(
    world: World, simulator: SimulatorProcess
) -> None:
    refund = await stuck(world, simulator, "error_500_after", "pm_sim_refund_fails")
    await says(world, refund)
    await world.expect("refund.failed")
    row = await the_refund(world)
    assert row["gateway_reference"] is not None
    assert row["detail"] != "not executed, as a person says"
    await world.assert_clean()


async def test_the_gateway_s_books_outweigh_a_person_s_word(
    world: World, simulator: SimulatorProcess
) -> None:
    refund = await stuck(world, simulator, "error_500_after")
    [payment] = await world.payments()
    another = await world.refund(payment["id"], 400)
    await world.expect("refund.succeeded")
    [row] = await world.fetch("SELECT * FROM refunds WHERE id = $1", another)
    for reference, refusal in (
        (None, "was executed"),
        (row["gateway_reference"], "another reference of ours"),
        ("re_that_there_is_not", "knows no such refund"),
    ):
        with pytest.raises(Conflict, match=refusal) as caught:
            await says(world, refund, reference)
        assert caught.value.code == "gateway_disagrees"
    await world.expect()
    assert (await set_aside(world), await deeds(world)) == ((400, 400), [])


async def test_another_amount_is_closed_and_is_a_difference_to_mend(
    world: World, simulator: SimulatorProcess
) -> None:
    began = SystemClock().now()
    world.clock.set(began)  # as the simulator's, whose list is compared
    refund = await stuck(world, simulator)
    made = await made_by_hand(world, simulator, 300)
    assert await compared(world, began) == ["refund_not_settled_here"]
    assert (await the_refund(world))["detail"].endswith("the gateway returned 300 EUR")
    with pytest.raises(Conflict, match="returned 300 EUR, not 400 EUR"):
        await says(world, refund, made["id"])
    with pytest.raises(Conflict, match="was executed"):
        await says(world, refund)
    await world.told()
    cmd = ResolveRefund(refund, Verdict.OTHER_AMOUNT, made["id"])
    await resolve(world.rt, world.caller, cmd)
    await world.expect("refund.failed", "reconciliation_difference.found")
    [found] = await world.fetch(
        "SELECT * FROM reconciliation_differences WHERE kind = 'refund_after_closing'"
    )
    assert (found["refund_id"], found["amount_there"]) == (refund, 300)
    await reconciliation_repairs.repair(world.rt, world.caller, RepairDifference(found["id"]))
    await world.expect("refund.succeeded", "reconciliation_difference.resolved")
    assert await set_aside(world) == (300, 0)
    [payment] = await world.payments()
    await world.refund(payment["id"], 100)
    assert world.refunded() == [300, 100]
    assert await compared(world, began) == []


async def test_exactly_what_was_asked_for_is_no_other_amount(
    world: World, simulator: SimulatorProcess
) -> None:
    refund = await stuck(world, simulator)
    made = await made_by_hand(world, simulator, 400)
    with pytest.raises(Conflict, match="exactly what was asked"):
        await resolve(
            world.rt, world.caller, ResolveRefund(refund, Verdict.OTHER_AMOUNT, made["id"])
        )


async def test_a_refund_that_was_never_sent_is_given_up_without_the_gateway(
    world: World, administrator: asyncpg.Connection
) -> None:
    """Its account does not open any more: nothing was sent, and nothing is to be asked."""
    await world.subscribed("1000")
    await administrator.execute("UPDATE gateway_accounts SET credentials_ciphertext = 'x.lost'")
    [payment] = await world.payments()
    refund = await world.refund(payment["id"], 400)
    await until_nobody_asks(world)
    with pytest.raises(Conflict) as caught:
        await says(world, refund, "re_1")
    assert caught.value.code == "gateway_account_unusable"
    await says(world, refund)
    await world.expect("refund.failed")
    assert await set_aside(world) == (0, 0)
    await world.assert_clean()


async def test_a_look_up_that_outlives_a_person_s_word_sends_nothing(
    world: World, administrator: asyncpg.Connection
) -> None:
    """A worker had claimed what was never sent, and stood still while a person gave it up."""
    await world.subscribed("1000")
    [before] = await administrator.fetch(
        "UPDATE gateway_accounts g SET credentials_ciphertext = 'x.lost'"
        "  FROM gateway_accounts o WHERE o.id = g.id RETURNING o.credentials_ciphertext"
    )
    [payment] = await world.payments()
    refund = await world.refund(payment["id"], 400)
    await until_nobody_asks(world)
    key = world.caller.merchant_id, refund
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        claimed, _ = await payments.lock_refund(tx, key)
    await says(world, refund)
    await administrator.execute(
        "UPDATE gateway_accounts SET credentials_ciphertext = $1", before["credentials_ciphertext"]
    )
    await refund_calls.carry_out(world.rt, [claimed], world.now)
    await world.expect("refund.failed")
    assert world.refunded() == []
    await world.assert_clean()


# Who is quicker


async def asking(simulator: SimulatorProcess, saying: Any, times: int = 1) -> "asyncio.Task[None]":
    """A person's word at the moment when the gateway is asked about it."""
    simulator.set_fault("latency", delay_ms=500, operations=["lookup"], count=times)
    task = asyncio.ensure_future(saying)
    await until(lambda: simulator.request("GET", "/v1/faults")["faults"][0]["count"] == 0)
    return task


async def test_nobody_s_word_is_taken_once_the_gateway_is_asked_again(
    world: World, simulator: SimulatorProcess
) -> None:
    refund = await stuck(world, simulator)
    saying = await asking(simulator, says(world, refund))
    async with world.rt.db.begin(world.caller.merchant_id) as tx:  # a comparison begins
        await tx.run("UPDATE refunds SET look_up_at = $1", world.now)
    with pytest.raises(Conflict, match="still being asked"):
        await saying
    assert ((await the_refund(world))["status"], await deeds(world)) == ("unknown", [])
    assert await set_aside(world) == (0, 400)


async def test_a_webhook_that_is_quicker_settles_it_once(
    world: World, simulator: SimulatorProcess
) -> None:
    refund, post = await stuck(world, simulator, "error_500_after"), await post_of(world)
    made = refund_of(simulator, (await the_refund(world))["reference"])
    await post.bring(event("refund.succeeded", made))
    saying = await asking(simulator, says(world, refund, made["id"]))
    assert (await inbox_settling.settle_due(world.rt)).settled == 1
    with pytest.raises(Conflict, match="succeeded"):
        await saying
    await world.expect("refund.succeeded")
    assert (await set_aside(world), await deeds(world)) == ((400, 0), [])
    await world.assert_clean()


async def test_a_webhook_that_comes_after_a_person_s_word_outweighs_it(
    world: World, simulator: SimulatorProcess
) -> None:
    refund, post = await stuck(world, simulator), await post_of(world)
    await says(world, refund)
    await world.expect("refund.failed")
    await post.bring(event("refund.succeeded", await made_by_hand(world, simulator, 400)))
    assert (await inbox_settling.settle_due(world.rt)).settled == 1
    await world.expect("refund.succeeded")
    assert (await set_aside(world), world.refunded()) == ((400, 0), [400])
    await world.assert_clean()


async def test_of_two_words_at_once_one_is_taken(world: World, simulator: SimulatorProcess) -> None:
    refund = await stuck(world, simulator)
    both = asyncio.gather(says(world, refund), says(world, refund), return_exceptions=True)
    answers = await (await asking(simulator, both, times=2))
    assert sorted(type(answer) for answer in answers if answer is not None) == [Conflict]
    await world.expect("refund.failed")
    assert (await set_aside(world), len(await deeds(world))) == ((0, 0), 1)
    with pytest.raises(Conflict, match="failed"):
        await says(world, refund, "re_1")
    await world.assert_clean()


# What is refused


async def test_while_there_is_something_to_find_out_nobody_s_word_is_taken(
    world: World, simulator: SimulatorProcess
) -> None:
    await world.subscribed("1000")
    [payment] = await world.payments()
    simulator.set_fault("error_500_before", count=1)
    refund = await world.refund(payment["id"], 400)
    with pytest.raises(Conflict, match="still being asked"):
        await says(world, refund)
    await world.advance(minutes=1, expect=["refund.succeeded"])
    with pytest.raises(Conflict, match="succeeded"):
        await says(world, refund)
    with pytest.raises(NotFound):
        await says(world, new_id())


async def test_a_refund_that_is_under_way_there_is_not_given_up(
    world: World, simulator: SimulatorProcess
) -> None:
    """The gateway has it, and may still send it: no word frees what it may take."""
    await world.subscribed("1000", token="pm_sim_refund_pending")
    [payment] = await world.payments()
    refund = await world.refund(payment["id"], 400)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run("UPDATE refunds SET look_up_at = NULL")
    row = await the_refund(world)
    with pytest.raises(Conflict, match="was executed"):
        await says(world, refund)
    await world.gateway_settles()
    await says(world, refund, row["gateway_reference"])
    await world.expect("refund.succeeded")
    await world.assert_clean()


async def test_a_word_that_makes_no_sense_is_refused(
    world: World, simulator: SimulatorProcess
) -> None:
    refund = await stuck(world, simulator)
    for cmd in (
        ResolveRefund(refund, Verdict.SUCCEEDED),
        ResolveRefund(refund, Verdict.OTHER_AMOUNT),
        ResolveRefund(refund, Verdict.NOT_EXECUTED, "re_1"),
    ):
        with pytest.raises(InvalidRequest, match="own reference"):
            await resolve(world.rt, world.caller, cmd)


async def test_while_the_gateway_is_silent_nobody_s_word_is_taken(
    world: World, simulator: SimulatorProcess
) -> None:
    refund = await stuck(world, simulator)
    simulator.set_faults(SILENT)
    for reference in (None, "re_1"):
        with pytest.raises(Unavailable):
            await says(world, refund, reference)
    assert await set_aside(world) == (0, 400)


async def test_an_effect_that_may_still_come_is_waited_for(
    world: World, simulator: SimulatorProcess
) -> None:
    await world.subscribed("1000")
    [payment] = await world.payments()
    simulator.set_fault("error_500_before", count=1)
    refund = await world.refund(payment["id"], 400)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run("UPDATE refunds SET look_up_at = NULL")
    with pytest.raises(Conflict, match="may still have its effect"):
        await says(world, refund)
