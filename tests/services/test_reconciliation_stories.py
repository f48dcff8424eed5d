"""Our books beside the simulator's own, told as stories: what differs, and what mends it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.clock import SystemClock
from app.domain import reconciling
from app.domain.errors import BillingError
from app.domain.reconciling import Repair
from app.services import (
    differences,
    inbox_settling,
    payments,
    reconciliation,
    reconciliation_repairs,
)
from app.services.reconciliation import CreateReconciliation
from app.services.reconciliation_repairs import RepairDifference
from tests.gateway_events import charge_of, event, post_of
from tests.simulator import SimulatorProcess
from tests.terms import dials
from tests.world import World


@pytest.fixture
async def began(world: World) -> AsyncIterator[datetime]:
    """The world at the present, as the simulator is, and when the story began by its clock."""
    now = SystemClock().now()
    world.clock.set(now)
    yield now


def elsewhere(simulator: SimulatorProcess, key: str, path: str = "charges", **body: Any) -> str:
    """Something that is done at the gateway past us; its name there."""
    answer = simulator.request(
        "POST", f"/v1/{path}", json=body, headers={"Idempotency-Key": f"elsewhere-{key}"}
    )
    return str(answer["id"])


async def compared(world: World, began: datetime) -> list[Any]:
    """What is open after a comparison an hour later."""
    world.clock.advance(timedelta(hours=1))
    [account] = await world.fetch("SELECT id FROM gateway_accounts")
    cmd = CreateReconciliation(account["id"], began, world.now)
    made = await reconciliation.create(world.rt, world.caller, cmd)
    assert await reconciliation.run_due(world.rt, made) == 1
    [run] = await world.fetch("SELECT * FROM reconciliations WHERE id = $1", made)
    assert run["status"] == "succeeded", run["detail"]
    rows = await world.fetch(
        "SELECT * FROM reconciliation_differences WHERE status IN ('open', 'repairing')"
        " ORDER BY kind"
    )
    assert run["differences"] == len(rows)
    return rows


async def mend(world: World, difference: Any, repair: Repair | None = None) -> Any:
    cmd = RepairDifference(difference["id"], repair)
    await reconciliation_repairs.repair(world.rt, world.caller, cmd)
    [row] = await world.fetch(
        "SELECT * FROM reconciliation_differences WHERE id = $1", difference["id"]
    )
    return row


async def test_books_that_agree_differ_in_nothing(world: World, began: datetime) -> None:
    for _ in range(3):
        await world.subscribed("1000")
    payment = (await world.payments())[0]
    await world.refund(payment["id"], 300)
    assert await compared(world, began) == []


async def test_a_charge_that_nobody_knows_is_given_back_once(
    world: World, simulator: SimulatorProcess, began: datetime
) -> None:
    await world.subscribed("1000")
    token = simulator.payment_method()
    body = {"reference": "not-ours", "amount": 4200, "currency": "EUR", "payment_method": token}
    charge = elsewhere(simulator, str(began), **body)
    [found] = await compared(world, began)
    assert (found["kind"], found["gateway_reference"]) == ("charge_unknown_here", charge)
    assert (found["amount_here"], found["amount_there"]) == (None, 4200)
    mended = await asyncio.gather(*(mend(world, found) for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(one, BillingError) for one in mended) <= 2
    assert await compared(world, began) == []
    assert simulator.ledger("not-ours")["totals"]["EUR"]["charged"] == 4200
    assert world.refunded() == [4200]


async def test_a_refund_made_at_the_gateway_is_recorded(
    world: World, simulator: SimulatorProcess, began: datetime
) -> None:
    await world.subscribed("1000")
    [attempt] = await world.attempts()
    elsewhere(
        simulator,
        str(began),
        "refunds",
        charge=attempt["gateway_reference"],
        reference="by-hand",
        amount=400,
        currency="EUR",
    )
    [found] = await compared(world, began)
    assert (found["kind"], found["amount_there"]) == ("refund_unknown_here", 400)
    assert (await mend(world, found))["status"] == "repaired"
    [payment] = await world.payments()
    assert payment["amount_refunded"] == 400
    assert await compared(world, began) == []
    await world.assert_clean(but=("nothing_overdue",))


async def test_a_refund_that_came_back_is_found_and_recorded(world: World, began: datetime) -> None:
    await world.subscribed("1000")
    [payment] = await world.payments()
    await world.refund(payment["id"], 400)
    await world.told()
    [refund] = await world.fetch("SELECT * FROM refunds")
    world.simulator.request("POST", f"/v1/refunds/{refund['gateway_reference']}/return", json={})
    [found] = await compared(world, began)
    assert (found["kind"], found["amount_here"]) == ("refund_undone_there", 400)
    assert (await mend(world, found))["status"] == "repaired"
    assert (await world.payments())[0]["amount_refunded"] == 0
    assert "refund.failed" in await world.told()
    assert await compared(world, began) == []
    await world.assert_clean(but=("nothing_overdue",))


@pytest.mark.parametrize("named", [True, False])
async def test_a_refund_that_went_out_after_it_had_failed_is_recorded(
    world: World, began: datetime, administrator: asyncpg.Connection, named: bool
) -> None:
    await world.subscribed("1000")
    [payment] = await world.payments()
    await world.refund(payment["id"], 400)
    reference = "gateway_reference" if named else "NULL"
    await administrator.execute("DELETE FROM events WHERE type = 'refund.succeeded'")
    await administrator.execute("DELETE FROM ledger_entries WHERE source = 'refund'")
    await administrator.execute(
        f"UPDATE refunds SET status = 'failed', gateway_reference = {reference}"
    )
    await administrator.execute("UPDATE payments SET amount_refunded = 0")
    await world.told()
    [found] = await compared(world, began)
    assert (found["kind"], found["amount_there"]) == ("refund_after_closing", 400)
    await mend(world, found)
    [refund] = await world.fetch("SELECT * FROM refunds")
    assert (refund["status"], (await world.payments())[0]["amount_refunded"]) == ("succeeded", 400)
    assert await compared(world, began) == []
    assert world.refunded() == [400]


async def test_a_fee_that_changes_once_more_is_told_and_mended_once_more(
    world: World, began: datetime, administrator: asyncpg.Connection
) -> None:
    await world.subscribed("1000")
    # The simulator keeps 10 cents; our books have first one fee and then another.
    for wrong in (7, 12):
        await administrator.execute("UPDATE payment_attempts SET fee = $1", wrong)
        [found] = await compared(world, began)
        assert (found["kind"], found["amount_here"], found["amount_there"]) == (
            *("fee_differs", wrong),
            10,
        )
        assert "reconciliation_difference.found" in await world.told()
        assert (await mend(world, found))["status"] == "repaired"
        assert await compared(world, began) == []


async def closed_too_early(
    world: World, administrator: asyncpg.Connection, *, named: bool = False
) -> Any:
    """An attempt that succeeds at the gateway, and was closed here as never executed; `named`: as
    failed, under the very name that the gateway has for it.
    """
    name = "gateway_reference" if named else "NULL"
    customer = await world.customer("pm_sim_pending_then_succeeds")
    sub = await world.subscribe(customer, await world.price("1000"))
    await administrator.execute(
        "UPDATE payment_attempts SET status = 'canceled', settled_at = created_at,"
        f" gateway_reference = {name}, look_up_at = NULL"
    )
    await administrator.execute(
        "UPDATE payments SET status = 'requires_payment_method', due_at = NULL"
    )
    await world.gateway_settles()
    await world.told()
    return sub


@pytest.mark.parametrize("named", [False, True])
async def test_money_that_came_after_closing_pays_the_invoice_it_was_for(
    world: World, began: datetime, administrator: asyncpg.Connection, named: bool
) -> None:
    sub = await closed_too_early(world, administrator, named=named)
    [found] = await compared(world, began)
    assert (found["kind"], found["amount_there"]) == ("charge_after_closing", 1000)
    assert (await mend(world, found))["repair"] == "apply"
    assert (await world.invoice(sub))["status"] == "paid"
    assert await world.status(sub) == "active"
    assert await compared(world, began) == []
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean(but=("nothing_overdue",))


async def test_what_comes_after_closing_is_told_at_once_and_the_card_is_left_alone(
    world: World, began: datetime, administrator: asyncpg.Connection
) -> None:
    """A retry was due in three days: whoever decides has that long, and longer."""
    sub = await closed_too_early(world, administrator, named=True)
    await administrator.execute(
        "UPDATE payments SET status = 'scheduled', due_at = $1", world.now + timedelta(days=3)
    )
    [attempt] = await world.attempts()
    post = await post_of(world)
    told = event("charge.succeeded", charge_of(world.simulator, attempt["reference"]))
    await post.bring(told)
    assert (await inbox_settling.settle_due(world.rt)).orphaned == 1
    await world.expect("reconciliation_difference.found")
    world.clock.advance(timedelta(days=4))
    await payments.collect_due(world.rt)
    assert world.charged() == [(1000, "EUR")]
    [found] = await world.fetch("SELECT * FROM reconciliation_differences")
    assert found["kind"] == "charge_after_closing"
    assert (await mend(world, found))["status"] == "repaired"
    assert (await world.invoice(sub))["status"] == "paid"
    await world.told()
    await post.bring(told | {"id": "evt_once_more"})
    assert (await inbox_settling.settle_due(world.rt)).settled == 1
    await world.expect()


async def test_a_part_that_came_after_closing_pays_that_part(
    world: World, began: datetime, administrator: asyncpg.Connection
) -> None:
    sub = await closed_too_early(world, administrator)
    # More is due than was asked for then: 10.00 of 15.00.
    await administrator.execute(
        "UPDATE invoices SET subtotal = 1500, total = 1500, amount_due = 1500"
    )
    await administrator.execute("UPDATE payments SET amount = 1500")
    [found] = await compared(world, began)
    await mend(world, found)
    invoice = await world.invoice(sub)
    assert (invoice["status"], invoice["amount_paid"]) == ("open", 1000)
    [_, rest] = await world.payments()
    assert (rest["status"], rest["amount"]) == ("requires_payment_method", 500)


async def test_what_came_after_closing_waits_while_another_payment_is_in_flight(
    world: World, began: datetime, administrator: asyncpg.Connection
) -> None:
    """Which of the two pays is not known yet; it is no credit before that."""
    sub = await closed_too_early(world, administrator)
    invoice = await world.invoice(sub)
    slow = await world.attach(invoice["customer_id"], "pm_sim_requires_action")
    await world.pay(invoice["id"], slow)
    [found] = await compared(world, began)
    with pytest.raises(BillingError) as refused:
        await mend(world, found)
    assert refused.value.code == "payment_in_flight"
    assert await world.credit_left(invoice["customer_id"]) == 0


async def test_it_becomes_credit_where_the_invoice_was_paid_meanwhile(
    world: World, began: datetime, administrator: asyncpg.Connection
) -> None:
    sub = await closed_too_early(world, administrator)
    invoice = await world.invoice(sub)
    good = await world.attach(invoice["customer_id"], "pm_sim_ok")
    await world.pay(invoice["id"], good)
    [found] = await compared(world, began)
    await mend(world, found)
    assert await world.credit_left(invoice["customer_id"]) == 1000
    assert await compared(world, began) == []
    await world.assert_clean(but=("nothing_overdue",))


async def test_or_goes_back_and_by_the_merchants_setting_without_a_person(
    world: World, simulator: SimulatorProcess, began: datetime, administrator: asyncpg.Connection
) -> None:
    await dials(world, late_payments="refund")
    await closed_too_early(world, administrator)
    [found] = await compared(world, began)
    assert await reconciliation_repairs.by_policy(world.rt) == 1
    assert await reconciliation_repairs.by_policy(world.rt) == 0
    assert await compared(world, began) == []
    assert world.refunded() == [1000]
    assert found["status"] == "open"


async def test_what_the_gateway_will_not_give_back_waits_for_a_person_and_is_asked_for_once(
    world: World, simulator: SimulatorProcess, began: datetime
) -> None:
    await dials(world, late_payments="refund")
    await world.subscribed("1000")
    [attempt] = await world.attempts()
    body = {"amount": 1000, "currency": "EUR", "payment_method": "pm_sim_refund_fails"}
    elsewhere(simulator, str(began), reference=attempt["reference"], **body)
    [found] = await compared(world, began)
    assert found["kind"] == "charged_twice"
    assert await reconciliation_repairs.by_policy(world.rt) == 1
    assert await reconciliation_repairs.by_policy(world.rt) == 0
    [left] = await compared(world, began)
    assert (left["status"], left["note"]) == ("open", "not refunded: generic")
    assert (await mend(world, left, Repair.APPLY))["status"] == "repaired"
    assert world.refunded() == []


async def test_what_never_got_to_the_gateway_is_given_back_by_the_setting_after_all(
    world: World, simulator: SimulatorProcess, began: datetime, administrator: asyncpg.Connection
) -> None:
    await administrator.execute(
        "UPDATE gateway_accounts SET settings ="
        """ (settings::jsonb || '{"options": {"repeating": "none"}}')::json"""
    )
    await dials(world, late_payments="refund")
    await closed_too_early(world, administrator)
    await compared(world, began)
    simulator.set_fault("error_500_before", operations=["refund"])
    assert await reconciliation_repairs.by_policy(world.rt) == 1
    simulator.clear_faults()
    world.clock.advance(timedelta(minutes=2))
    await reconciliation_repairs.go_on(world.rt)
    assert await reconciliation_repairs.by_policy(world.rt) == 1
    assert await compared(world, began) == []
    assert world.refunded() == [1000]


async def test_a_refund_whose_answer_is_lost_is_found_and_not_made_again(
    world: World, simulator: SimulatorProcess, began: datetime
) -> None:
    token = simulator.payment_method()
    elsewhere(
        simulator, str(began), reference="stray", amount=900, currency="EUR", payment_method=token
    )
    [found] = await compared(world, began)
    simulator.set_fault("error_500_after", operations=["refund"])
    assert (await mend(world, found))["status"] == "repairing"
    simulator.clear_faults()
    assert await reconciliation_repairs.go_on(world.rt) == 1
    assert await reconciliation_repairs.go_on(world.rt) == 0
    assert await compared(world, began) == []
    assert world.refunded() == [900]


async def test_a_refund_that_was_provably_never_made_may_be_asked_for_again(
    world: World, simulator: SimulatorProcess, began: datetime, administrator: asyncpg.Connection
) -> None:
    """Without keys nothing is repeated: once its absence is proved, it is open again."""
    await administrator.execute(
        "UPDATE gateway_accounts SET settings ="
        """ (settings::jsonb || '{"options": {"repeating": "none"}}')::json"""
    )
    token = simulator.payment_method()
    elsewhere(
        simulator, str(began), reference="stray", amount=900, currency="EUR", payment_method=token
    )
    [found] = await compared(world, began)
    simulator.set_fault("error_500_before", operations=["refund"])
    assert (await mend(world, found))["status"] == "repairing"
    simulator.clear_faults()
    await reconciliation_repairs.go_on(world.rt)
    [waits] = await world.fetch("SELECT status FROM reconciliation_differences")
    assert waits["status"] == "repairing", "it may take effect yet"
    world.clock.advance(timedelta(minutes=2))
    await reconciliation_repairs.go_on(world.rt)
    [again] = await world.fetch("SELECT * FROM reconciliation_differences")
    assert (again["status"], again["note"]) == ("open", "not refunded: never_executed")
    assert (await mend(world, again))["status"] == "repaired"
    assert world.refunded() == [900]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("status = 'unknown', settled_at = NULL", "difference_not_settled"),
        ("gateway_reference = $1", "difference_outdated"),
    ],
)
async def test_of_two_charges_the_one_that_may_count_is_not_given_back(
    world: World,
    simulator: SimulatorProcess,
    began: datetime,
    administrator: asyncpg.Connection,
    change: str,
    code: str,
) -> None:
    await world.subscribed("1000")
    [attempt] = await world.attempts()
    token = simulator.payment_method()
    body = {"amount": 1000, "currency": "EUR", "payment_method": token}
    second = elsewhere(simulator, str(began), reference=attempt["reference"], **body)
    [found] = await compared(world, began)
    assert (found["kind"], found["gateway_reference"]) == ("charged_twice", second)
    args = [second] if "$1" in change else []
    await administrator.execute(f"UPDATE payment_attempts SET {change}", *args)
    with pytest.raises(BillingError) as refused:
        await mend(world, found, Repair.REFUND)
    assert refused.value.code == code
    assert world.refunded() == []


async def test_money_that_is_told_first_and_listed_later_is_mended_once(
    world: World, simulator: SimulatorProcess, began: datetime, administrator: asyncpg.Connection
) -> None:
    """The gateway took it twice for an attempt that was closed, and tells of the second one."""
    await closed_too_early(world, administrator)
    [attempt] = await world.attempts()
    token = simulator.payment_method()
    body = {"amount": 1000, "currency": "EUR", "payment_method": token}
    second = elsewhere(simulator, str(began), reference=attempt["reference"], **body)
    post = await post_of(world)
    await post.bring(event("charge.succeeded", simulator.request("GET", f"/v1/charges/{second}")))
    await inbox_settling.settle_due(world.rt)
    found = await compared(world, began)
    assert len(found) == len({row["gateway_reference"] for row in found}) == 2
    for one in found:
        assert "nothing_awaits_review" in await world.broken(), "until the last is mended"
        await mend(world, one, Repair.APPLY)
    [customer] = await world.fetch("SELECT id FROM customers")
    # Twice 10.00: one pays the invoice, the other is credit.
    assert await world.credit_left(customer["id"]) == 1000
    assert await compared(world, began) == []
    await world.assert_clean(but=("nothing_overdue",))


async def test_what_is_on_a_test_clock_keeps_to_its_time(
    world: World, began: datetime, administrator: asyncpg.Connection
) -> None:
    then = began - timedelta(days=400)
    clock = await world.test_clock(then)
    customer = await world.customer("pm_sim_pending_then_succeeds", test_clock_id=clock)
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.subscribe(customer, await world.price("1000"))
    first, second = await world.attempts()
    await administrator.execute(
        "UPDATE payment_attempts SET status = 'canceled', gateway_reference = NULL,"
        " settled_at = created_at, look_up_at = NULL WHERE id = $1",
        first["id"],
    )
    await administrator.execute(
        "UPDATE payments SET status = 'requires_payment_method' WHERE id = $1", first["payment_id"]
    )
    await administrator.execute(
        "UPDATE payment_attempts SET look_up_at = NULL WHERE id = $1", second["id"]
    )
    await world.gateway_settles()
    found = await compared(world, began)
    assert (await world.attempts())[1]["look_up_at"] is None, "a person may say what it came to"
    [late] = [row for row in found if row["kind"] == "charge_after_closing"]
    await mend(world, late)
    assert (await world.invoice(sub))["paid_at"] == then


async def test_what_is_in_flight_is_settled_first_and_is_no_difference(
    world: World, began: datetime
) -> None:
    customer = await world.customer("pm_sim_pending_then_succeeds")
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.gateway_settles()
    assert await compared(world, began) == []
    assert (await world.invoice(sub))["status"] == "paid"


async def test_what_the_gateway_does_not_know_is_written_out_of_our_books(
    world: World, began: datetime, administrator: asyncpg.Connection
) -> None:
    await world.subscribed("1000")
    await administrator.execute(
        "UPDATE payment_attempts SET gateway_reference = 'ch_no_such', reference = 'nobodys'"
    )
    orphan, gone = sorted(await compared(world, began), key=lambda d: d["kind"], reverse=True)
    assert {orphan["kind"], gone["kind"]} == {"charge_unknown_here", "charge_missing_there"}
    missing = gone if gone["kind"] == "charge_missing_there" else orphan
    await mend(world, missing)
    [payment] = await world.payments()
    assert payment["amount_refunded"] == 1000
    [left] = await compared(world, began)
    assert left["kind"] == "charge_unknown_here"


@pytest.mark.parametrize("refunded", [400, 1000])
async def test_of_what_the_gateway_let_go_of_only_the_rest_is_written_out_of_our_books(
    world: World, began: datetime, administrator: asyncpg.Connection, refunded: int
) -> None:
    await world.subscribed("1000")
    [payment] = await world.payments()
    await world.refund(payment["id"], refunded)
    [attempt] = await world.attempts()
    place = attempt["merchant_id"], attempt["gateway_account_id"]
    gone = reconciling.undone(await world.last_attempt())
    await differences.noticed(world.rt, place, [gone])
    [found] = await world.fetch("SELECT * FROM reconciliation_differences")
    assert (found["kind"], found["amount_here"]) == ("charge_undone_there", 1000)
    assert (await mend(world, found))["status"] == "repaired"
    [payment] = await world.payments()
    assert (payment["amount_refunded"], payment["amount_refund_reserved"]) == (1000, 0)
    await world.assert_clean(but=("nothing_overdue",))


async def test_what_the_gateway_let_go_of_waits_for_a_refund_that_is_on_its_way(
    world: World, simulator: SimulatorProcess, began: datetime
) -> None:
    """How much is left is known only once that has gone out, or has not."""
    await world.subscribed("1000")
    [payment] = await world.payments()
    simulator.set_fault("error_500_before", operations=["refund"])
    await world.refund(payment["id"], 400)
    attempt = await world.last_attempt()
    place = attempt.merchant_id, attempt.gateway_account_id
    await differences.noticed(world.rt, place, [reconciling.undone(attempt)])
    [found] = await world.fetch("SELECT * FROM reconciliation_differences")
    with pytest.raises(BillingError) as refused:
        await mend(world, found)
    assert refused.value.code == "refund_in_flight"
    [left] = await world.fetch("SELECT * FROM reconciliation_differences")
    assert left["status"] == "open"


async def test_a_difference_is_dismissed_with_a_word_and_stays_away(
    world: World, simulator: SimulatorProcess, began: datetime
) -> None:
    token = simulator.payment_method()
    elsewhere(
        simulator, str(began), reference="till", amount=5, currency="EUR", payment_method=token
    )
    [found] = await compared(world, began)
    await reconciliation_repairs.dismiss(world.rt, world.caller, found["id"], "The shop's till")
    assert await compared(world, began) == []
    with pytest.raises(BillingError) as refused:
        await mend(world, found)
    assert refused.value.code == "difference_dismissed"


async def test_a_list_that_breaks_off_concludes_nothing(
    world: World, simulator: SimulatorProcess, began: datetime
) -> None:
    await world.subscribed("1000")
    world.clock.advance(timedelta(hours=1))
    [account] = await world.fetch("SELECT id FROM gateway_accounts")
    simulator.kill()
    try:
        cmd = CreateReconciliation(account["id"], began, world.now)
        made = await reconciliation.create(world.rt, world.caller, cmd)
        await reconciliation.run_due(world.rt, made)
    finally:
        simulator.restart()
    [run] = await world.fetch("SELECT * FROM reconciliations")
    assert (run["status"], run["differences"]) == ("failed", 0)
    assert run["detail"]


async def test_every_open_account_is_compared_once_a_night(world: World, began: datetime) -> None:
    assert await reconciliation.schedule_due(world.rt) == 1
    assert await reconciliation.schedule_due(world.rt) == 0
    assert await reconciliation.run_due(world.rt) == 1
    world.clock.advance(timedelta(days=1))
    assert await reconciliation.schedule_due(world.rt) == 1


@pytest.mark.parametrize("days", [(-1, 1), (1, 2), (0, 0), (-200, 0)])
async def test_windows_that_make_no_sense_are_refused(
    world: World, began: datetime, days: tuple[int, int]
) -> None:
    [account] = await world.fetch("SELECT id FROM gateway_accounts")
    start, end = (began + timedelta(days=n) for n in days)
    cmd = CreateReconciliation(account["id"], start, end)
    with pytest.raises(BillingError):
        await reconciliation.create(world.rt, world.caller, cmd)


async def test_another_merchants_account_is_none(world: World, began: datetime) -> None:
    with pytest.raises(BillingError) as refused:
        await reconciliation.create(
            world.rt, world.caller, CreateReconciliation(UUID(int=7), None, None)
        )
    assert refused.value.code == "reference_not_found"
