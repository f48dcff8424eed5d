"""Money going back, told as stories: reserved first, never more than was captured."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from app.domain.errors import Conflict, InvalidRequest
from app.services import audit, refunds
from tests.gateways.fifth_harness import install
from tests.simulator import SimulatorProcess
from tests.world import World, until


async def paid(world: World, token: str = "pm_sim_ok") -> dict:
    """A payment of 10.00 that succeeded."""
    await world.subscribed("1000", token=token)
    return (await world.payments())[-1]


async def rows(world: World) -> list[tuple[str, int]]:
    found = await world.fetch("SELECT status, amount FROM refunds ORDER BY id")
    return [(row["status"], row["amount"]) for row in found]


async def test_a_full_refund_returns_everything_and_no_more(world: World) -> None:
    payment = await paid(world)
    await world.refund(payment["id"])
    await world.expect("refund.succeeded")
    assert world.refunded() == [1000]
    # The gateway keeps its fee of 1 %: the cash is now 10 cents short.
    books = await world.balance()
    assert (books["cash"], books["refunds"]) == (-10, 1000)
    with pytest.raises(Conflict, match="left to refund"):
        await world.refund(payment["id"])
    await world.assert_clean()


async def test_several_partial_refunds_add_up_to_the_payment(world: World) -> None:
    payment = await paid(world)
    await world.refund(payment["id"], 333)
    await world.refund(payment["id"], 333)
    with pytest.raises(InvalidRequest, match="Between 1 and 334"):
        await world.refund(payment["id"], 335)
    await world.refund(payment["id"])  # what is left: 10.00 - 3.33 - 3.33 = 3.34
    await world.expect(*["refund.succeeded"] * 3)
    assert world.refunded() == [333, 333, 334]
    await world.assert_clean()


@pytest.mark.parametrize("amount", [0, -1, -1000, 1001, 10**18])
async def test_amounts_that_are_no_refund_are_refused(world: World, amount: int) -> None:
    payment = await paid(world)
    with pytest.raises(InvalidRequest, match="Between 1 and 1000"):
        await world.refund(payment["id"], amount)
    assert await rows(world) == []
    assert world.refunded() == []


async def test_a_payment_that_took_nothing_has_nothing_to_refund(world: World) -> None:
    payment = await paid(world, "pm_sim_declined_do_not_honor")
    with pytest.raises(Conflict, match="requires_payment_method"):
        await world.refund(payment["id"])


async def test_refunds_at_once_never_exceed_the_capture(world: World) -> None:
    payment = await paid(world)
    answers = await asyncio.gather(
        *(world.refund(payment["id"], 300) for _ in range(8)), return_exceptions=True
    )
    # 3 * 3.00 fit into 10.00
    assert sum(isinstance(answer, InvalidRequest) for answer in answers) == 5
    assert world.refunded() == [300, 300, 300]
    await world.assert_clean()


async def test_a_refund_that_the_gateway_refuses_frees_what_it_reserved(world: World) -> None:
    payment = await paid(world, "pm_sim_refund_fails")
    await world.refund(payment["id"], 400)
    await world.expect("refund.failed")
    assert await rows(world) == [("failed", 400)]
    [after] = await world.payments()
    assert (after["amount_refunded"], after["amount_refund_reserved"]) == (0, 0)
    await world.assert_clean()


async def test_a_pending_refund_holds_its_amount_until_it_is_through(world: World) -> None:
    payment = await paid(world, "pm_sim_refund_pending")
    await world.refund(payment["id"], 600)
    await world.expect()
    with pytest.raises(InvalidRequest, match="Between 1 and 400"):
        await world.refund(payment["id"], 600)
    await world.gateway_settles()
    await world.advance(minutes=1, expect=["refund.succeeded"])
    await world.assert_clean()


@pytest.mark.parametrize("fault", ["error_500_before", "error_500_after", "cut_body", "error_429"])
async def test_a_refund_whose_answer_is_lost_goes_back_once(
    world: World, simulator: SimulatorProcess, fault: str
) -> None:
    payment = await paid(world)
    simulator.set_fault(fault, count=1, operations=["refund"])
    await world.refund(payment["id"], 400)
    await world.expect()
    assert (await world.payments())[0]["amount_refund_reserved"] == 400
    await world.advance(minutes=1, expect=["refund.succeeded"])
    assert world.refunded() == [400]
    await world.assert_clean()


async def test_a_refund_survives_the_death_of_the_process_that_asked_for_it(
    world: World, simulator: SimulatorProcess
) -> None:
    payment = await paid(world)
    simulator.set_fault("latency", delay_ms=300, operations=["refund"], count=1)
    asking = asyncio.create_task(world.refund(payment["id"], 400))
    await until(lambda: simulator.request("GET", "/v1/faults")["faults"][0]["count"] == 0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await rows(world) == [("processing", 400)]
    await world.gateway_moves(2)
    await world.advance(minutes=3, expect=["refund.succeeded"])
    assert world.refunded() == [400]
    await world.assert_clean()


async def test_a_refund_on_an_account_that_does_not_open_waits_and_is_told(
    world: World, administrator: asyncpg.Connection
) -> None:
    """Its credentials are lost: nothing is sent, nothing is given up, and a person is told."""
    payment = await paid(world)
    await administrator.execute(
        "UPDATE gateway_accounts SET credentials_ciphertext = 'x.unreadable'"
    )
    await world.refund(payment["id"], 400)
    await world.expect()
    [refund] = await world.fetch("SELECT * FROM refunds")
    assert (refund["status"], refund["detail"]) == (
        "processing",
        "not executed: account_unusable",
    )
    assert (refund["request"], refund["look_up_at"] > world.now) == (None, True)
    for _ in range(14):
        await world.advance(days=1, expect=[])
    [refund] = await world.fetch("SELECT * FROM refunds")
    assert refund["detail"].startswith("manual_review: ")
    assert (await world.payments())[0]["amount_refund_reserved"] == 400
    assert world.refunded() == []
    report = await audit.run(world.rt, world.caller.merchant_id)
    assert "nothing_awaits_review" in {f.name for f in report.findings if f.exceptions}


async def test_an_adapter_that_cannot_be_opened_is_one_accounts_trouble(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third party's, with a bug: what is due there waits, and nothing else does."""
    broken = "class Broken:\n    def __init__(self, account): raise RuntimeError('a bug')\n"
    broken += "    name = 'broken'\n    fields = ()\n"
    broken += "    from app.gateways.simulator import SimulatorGateway\n"
    broken += "    capabilities = SimulatorGateway.capabilities\n"
    install(tmp_path, "perennial_broken", "broken = perennial_broken:Broken", broken)
    monkeypatch.syspath_prepend(tmp_path)
    payment = await paid(world)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run("UPDATE gateway_accounts SET gateway = 'broken'")
    await world.refund(payment["id"], 400)
    customer = await world.customer()
    await world.subscribe(customer, await world.price("1000"))
    [refund] = await world.fetch("SELECT * FROM refunds")
    assert refund["detail"] == "not executed: account_unusable"
    assert (await world.payments())[-1]["status"] == "scheduled"


async def test_refunds_of_one_customer_s_test_clock_wait_for_that_clock(world: World) -> None:
    clock = await world.test_clock()
    customer = await world.customer("pm_sim_refund_pending", test_clock_id=clock)
    await world.subscribe(customer, await world.price("1000"))
    await world.told()
    await world.refund((await world.payments())[0]["id"])
    await world.gateway_settles()
    await world.advance(days=1, expect=[])  # the wall clock is not its clock
    assert await refunds.resolve_due(world.rt) == 0
    await world.turn(clock, world.now)
    await world.expect("refund.succeeded")
    await world.assert_clean()
