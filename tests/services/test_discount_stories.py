"""What coupons with restrictions, introductory prices and several currencies come to on invoices.

Amounts in minor units.
"""

import pytest

from app.domain.discount import Duration
from app.domain.errors import InvalidRequest
from tests.world import World

pytestmark = pytest.mark.anyio


async def totals(world: World, sub) -> list[int]:
    return [invoice["total"] for invoice in await world.invoices(sub)]


async def test_three_months_at_five_then_ten(world: World) -> None:
    intro = await world.coupon(
        fixed_price=500, currency="EUR", duration=Duration.REPEATING, duration_in_periods=3
    )
    price = await world.price("1000", setup_fee=2000)
    sub = await world.subscribe(await world.customer(), (price, 2), coupon_ids=[intro])
    for _ in range(4):
        await world.advance_quietly(days=31)
    # 2 * 5.00 and the set-up fee of 20.00 in full; 2 * 5.00 twice; then 2 * 10.00.
    assert (await totals(world, sub))[:4] == [3000, 1000, 1000, 2000]
    await world.assert_clean()


async def test_a_coupon_for_one_plan_leaves_the_others_alone(world: World) -> None:
    pro = await world.plan("Pro")
    dear, cheap = await world.price("3000", plan=pro), await world.price("900")
    half = await world.coupon(percent_off="50", plan_ids=[pro], duration=Duration.FOREVER)
    sub = await world.subscribe(await world.customer(), dear, cheap, coupon_ids=[half])
    # 30.00 - 50 % + 9.00 = 24.00
    assert await totals(world, sub) == [2400]
    lines = await world.lines((await world.invoice(sub))["id"])
    assert [line["discount_amount"] for line in lines] == [1500, 0]


async def test_a_minimum_is_judged_by_each_invoice(world: World) -> None:
    some = await world.coupon(
        amount_off=500, currency="EUR", minimum_amounts={"EUR": 2000}, duration=Duration.FOREVER
    )
    price = await world.price("1000")
    small = await world.subscribe(await world.customer(), price, coupon_ids=[some])
    large = await world.subscribe(await world.customer(), (price, 2), coupon_ids=[some])
    assert (await totals(world, small), await totals(world, large)) == ([1000], [1500])


@pytest.mark.parametrize(
    ("currency", "amount", "total"),
    [("EUR", "1000", 500), ("JPY", "1000", 200), ("KWD", "9000", 4)],
)
async def test_one_coupon_in_currencies_of_two_no_and_three_decimals(
    world: World, currency: str, amount: str, total: int
) -> None:
    some = await world.coupon(
        amount_off=500, currency="EUR", currency_options={"JPY": 800, "KWD": 8996}
    )
    price = await world.price(amount, currency)
    sub = await world.subscribe(await world.customer(), price, coupon_ids=[some])
    assert await totals(world, sub) == [total]


async def test_a_currency_that_a_coupon_does_not_know_is_refused(world: World) -> None:
    some = await world.coupon(amount_off=500, currency="EUR", currency_options={"JPY": 800})
    customer, price = await world.customer(), await world.price("1000", "USD")
    with pytest.raises(InvalidRequest) as caught:
        await world.subscribe(customer, price, coupon_ids=[some])
    assert caught.value.code == "currency_mismatch"


async def test_percentages_in_whatever_order_come_to_the_same(world: World) -> None:
    tenth = await world.coupon(percent_off="10")
    third = await world.coupon(percent_off="33.3333")
    price = await world.price("1005")
    found = []
    for order in ([tenth, third], [third, tenth]):
        sub = await world.subscribe(await world.customer(), price, coupon_ids=order)
        found += await totals(world, sub)
    # 10.05 * 0.9 * 0.666667 = 6.03000...: 6.03, either way.
    assert found == [603, 603]
