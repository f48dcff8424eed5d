"""The main job, told as stories: a subscription starts, renews on its anchor, is paid, and ends."""

from datetime import UTC, datetime

from tests.world import World


async def test_a_month_end_subscription_keeps_its_anchor_and_is_paid_each_time(
    world: World,
) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.expect(
        "subscription.created",
        "invoice.finalized",
        "payment.succeeded",
        "invoice.paid",
        "subscription.activated",
    )
    renewal = ["subscription.renewed", "invoice.finalized", "payment.succeeded", "invoice.paid"]
    await world.advance(to=datetime(2026, 2, 28, 9, tzinfo=UTC), expect=renewal)
    await world.advance(to=datetime(2026, 3, 31, 9, tzinfo=UTC), expect=renewal)
    invoices = await world.invoices(sub)
    assert [i["period_start"].day for i in invoices] == [31, 28, 31]
    assert [i["number"] for i in invoices] == ["INV-000001", "INV-000002", "INV-000003"]
    assert [(i["status"], i["amount_paid"]) for i in invoices] == [("paid", 1000)] * 3
    await world.assert_clean()
