"""Prices that change under running subscriptions, and models that are billed month by month."""

import pytest

from app.domain.entitlement import FeatureType
from app.domain.errors import InvalidRequest
from app.domain.pricing import PriceModel
from app.services import features, plans, prices, subscriptions
from app.services.features import CreateFeature, Given
from app.services.prices import NewVersion, TierAsked, UpdatePrice
from app.services.subscriptions import CreateSubscription
from tests.world import RENEWED, STARTED, World

STAIRS = (TierAsked(10, "0", 5_000), TierAsked(50, "0", 20_000), TierAsked(None, "0", 80_000))


async def test_who_has_an_old_version_keeps_it_and_who_comes_now_gets_the_new_one(
    world: World,
) -> None:
    old = await world.price("1900", lookup_key="pro-monthly")
    early = await world.subscribe(await world.customer(), old)
    await world.expect(*STARTED)
    cmd = NewVersion(old, {"unit_amount_decimal": "2400"})
    new = (await prices.create_version(world.rt, world.caller, cmd))["id"]
    await world.expect()
    late = await world.subscribe(await world.customer(), new)
    await world.expect(*STARTED)
    await world.advance(months=1, expect=RENEWED * 2)
    # 19.00 as ever, beside 24.00 for who came later.
    assert [i["total"] for i in await world.invoices(early)] == [1900, 1900]
    assert [i["total"] for i in await world.invoices(late)] == [2400, 2400]
    assert sorted(world.charged()) == [(1900, "EUR")] * 2 + [(2400, "EUR")] * 2
    await world.assert_clean()


async def test_an_archived_price_is_not_subscribed_to_anew_but_renews(world: World) -> None:
    price = await world.price("1900")
    sub = await world.subscribe(await world.customer(), price)
    await world.expect(*STARTED)
    await prices.update(world.rt, world.caller, UpdatePrice(price, {"active": False}))
    customer = await world.customer()
    with pytest.raises(InvalidRequest) as refused:
        await world.subscribe(customer, price)
    assert refused.value.code == "price_inactive"
    await world.advance(months=1, expect=RENEWED)
    assert [i["total"] for i in await world.invoices(sub)] == [1900, 1900]


@pytest.mark.parametrize(
    ("quantity", "total"), [(1, 5_000), (10, 5_000), (11, 20_000), (51, 80_000)]
)
async def test_a_stair_is_charged_whole_every_month(
    world: World, quantity: int, total: int
) -> None:
    price = await world.price(None, model=PriceModel.STAIRSTEP, tiers=STAIRS)
    sub = await world.subscribe(await world.customer(), (price, quantity))
    await world.expect(*STARTED)
    await world.advance(months=1, expect=RENEWED)
    assert [i["total"] for i in await world.invoices(sub)] == [total, total]
    assert world.charged() == [(total, "EUR")] * 2
    await world.assert_clean()


@pytest.mark.parametrize("quantity", [4, 11])
async def test_a_quantity_that_is_not_sold_is_refused(world: World, quantity: int) -> None:
    price = await world.price("1000", min_quantity=5, max_quantity=10)
    cmd = CreateSubscription(customer_id=await world.customer(), items=[(price, quantity)])
    with pytest.raises(InvalidRequest, match="from 5 to 10") as refused:
        await subscriptions.create(world.rt, world.caller, cmd)
    assert refused.value.param == "items[0].quantity"
    await world.expect()


async def test_a_plan_that_gives_more_gives_it_to_those_who_have_it(world: World) -> None:
    made = CreateFeature(key="seats", name="Seats", type=FeatureType.LIMIT)
    await features.create(world.rt, world.caller, made)
    plan = await world.plan(features=[Given(key="seats", value=5)])
    customer = await world.customer()
    await world.subscribe(customer, await world.price("1000", plan=plan))
    [seats] = await features.of_customer(world.rt, world.caller, customer)
    assert seats.value == 5
    more = plans.UpdatePlan(plan, {"features": [Given(key="seats", value=8)]})
    await plans.update(world.rt, world.caller, more)
    [seats] = await features.of_customer(world.rt, world.caller, customer)
    assert (seats.value, seats.sources[0].value) == (8, 8)
