"""Tax that is due at a rate nobody entered: nothing is billed without it, and it is said so."""

import pytest

from app.domain.errors import InvalidRequest
from app.services import customers, subscriptions, tax_rates, tax_registrations
from app.services.tax_registrations import CreateTaxRegistration
from tests.world import RENEWED, STARTED, World

pytestmark = pytest.mark.anyio

SENTENCE = "Tax is due in FR, and there is no tax rate for it: add the rate first."


async def german_seller(world: World) -> None:
    """At home in Germany and in the one-stop shop; it knows the German rate only."""
    for options in ({"home": True}, {"scheme": "oss"}):
        cmd = CreateTaxRegistration(country="DE", **options)
        await tax_registrations.create(world.rt, world.caller, cmd)
    await vat(world, "19", "DE")


async def vat(world: World, percentage: str, country: str) -> None:
    cmd = tax_rates.CreateTaxRate(display_name="VAT", percentage=percentage, country=country)
    await tax_rates.create(world.rt, world.caller, cmd)


async def test_a_subscription_is_not_made_where_tax_is_due_without_a_rate(world: World) -> None:
    await german_seller(world)
    customer = await world.customer(address={"country": "FR"})
    price = await world.price("1000")
    with pytest.raises(InvalidRequest) as refused:
        await world.subscribe(customer, price, automatic_tax=True)
    assert (refused.value.code, refused.value.message) == ("tax_rate_missing", SENTENCE)
    assert await world.told() == []
    await vat(world, "20", "FR")
    sub = await world.subscribe(customer, price, automatic_tax=True)
    # 10.00 and 20 % of it
    assert (await world.invoice(sub))["total"] == 1200
    await world.assert_clean()


async def test_a_renewal_waits_for_the_rate_of_where_the_customer_moved_to(world: World) -> None:
    await german_seller(world)
    customer = await world.customer(address={"country": "DE"})
    sub = await world.subscribe(customer, await world.price("1000"), automatic_tax=True)
    await world.expect(*STARTED)
    moved = customers.UpdateCustomer(customer, {"address": {"country": "FR"}})
    await customers.update(world.rt, world.caller, moved)
    await world.advance(months=1, expect=[])
    row = await world.subscription(sub)
    assert (row["parked_at"], row["parked_reason"]) == (world.now, SENTENCE)
    await vat(world, "20", "FR")
    await subscriptions.unpark(world.rt, world.caller, sub)
    await world.tick()
    await world.expect(*RENEWED)
    # 10.00 and 19 % of it, then 10.00 and 20 % of it
    assert [invoice["total"] for invoice in await world.invoices(sub)] == [1190, 1200]
    await world.assert_clean()
