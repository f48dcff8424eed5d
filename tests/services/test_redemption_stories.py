"""Who gets what, how often: coupons, promotion codes and offers, also when many come at once."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from app.db import coupons, discounts, offers, redemptions
from app.domain.discount import Duration
from app.domain.errors import Conflict, InvalidRequest
from app.domain.offer import Segment
from app.ids import show
from app.services import coupons as coupon_service
from app.services import discounts as discount_service
from app.services import offers as offer_service
from app.services import promotion_codes as code_service
from app.services.discounts import CreateDiscount
from app.services.offers import CreateLink, CreateOffer
from app.services.promotion_codes import Check, CreatePromotionCode
from tests.world import World

pytestmark = pytest.mark.anyio


async def code(world: World, coupon: UUID, word: str | None = None, **options) -> str:
    cmd = CreatePromotionCode(coupon_id=coupon, code=word, **options)
    return (await code_service.create(world.rt, world.caller, cmd))["code"]


async def resolve(world: World, customer: UUID, ids=(), codes=(), **options):
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        return await redemptions.resolve(tx, customer, ids, codes, world.now, **options)


async def redeem(world: World, customer: UUID, ids=(), codes=(), **options) -> None:
    """As a subscription does it: resolved, and redeemed in the same transaction."""
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        given = await redemptions.resolve(tx, customer, ids, codes, world.now)
        await redemptions.redeem_all(tx, given, customer, world.now, **options)


async def claim(world: World, token: str, customer: UUID) -> offers.Claim:
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        return await offers.claim(tx, token, customer, world.now)


async def link(world: World, gift: dict, **options) -> str:
    made = await offer_service.create(world.rt, world.caller, CreateOffer(name="Stay", **gift))
    cmd = CreateLink(made["id"], **options)
    return (await offer_service.create_link(world.rt, world.caller, cmd))[1]


async def counted(world: World, table: str) -> list[int]:
    rows = await world.fetch(f"SELECT times_redeemed FROM {table} ORDER BY id")
    return [row["times_redeemed"] for row in rows]


async def outcomes(*attempts) -> list[str]:
    """What became of attempts made at once: `ok`, or the code of the refusal."""
    done = await asyncio.gather(*attempts, return_exceptions=True)
    for error in done:
        if isinstance(error, BaseException) and not isinstance(error, Conflict | InvalidRequest):
            raise error
    return ["ok" if not isinstance(each, Exception) else each.code for each in done]


async def test_fifty_want_a_coupon_of_which_five_are_left(world: World) -> None:
    coupon = await world.coupon(percent_off="10", max_redemptions=5)
    people = [await world.customer(None) for _ in range(50)]
    came = await outcomes(*(redeem(world, person, [coupon]) for person in people))
    assert came.count("ok") == 5
    assert set(came) == {"ok", "coupon_exhausted"}
    assert await counted(world, "coupons") == [5]
    assert len(await world.fetch("SELECT 1 FROM redemptions")) == 5


async def test_a_code_s_own_limit_holds_when_many_type_it_at_once(world: World) -> None:
    coupon = await world.coupon(percent_off="10")
    await code(world, coupon, "only-two", max_redemptions=2)
    people = [await world.customer(None) for _ in range(12)]
    came = await outcomes(*(redeem(world, person, codes=["ONLY-two"]) for person in people))
    assert came.count("ok") == 2
    assert await counted(world, "promotion_codes") == [2]
    assert await counted(world, "coupons") == [2]


async def test_one_customer_in_ten_tabs_redeems_once(world: World) -> None:
    coupon = await world.coupon(percent_off="10", max_redemptions_per_customer=1)
    ada = await world.customer(None)
    came = await outcomes(*(redeem(world, ada, [coupon]) for _ in range(10)))
    assert came.count("ok") == 1
    assert set(came) == {"ok", "coupon_already_redeemed"}
    await redeem(world, await world.customer(None), [coupon])


async def test_coupons_asked_for_in_opposite_orders_lock_nobody_out(world: World) -> None:
    one, two = await world.coupon(percent_off="1"), await world.coupon(percent_off="2")
    people = [await world.customer(None) for _ in range(20)]
    orders = [[one, two], [two, one]] * 10
    came = await outcomes(
        *(redeem(world, who, order) for who, order in zip(people, orders, strict=True))
    )
    assert came == ["ok"] * 20
    assert await counted(world, "coupons") == [20, 20]


async def test_what_is_rolled_back_was_not_redeemed(world: World) -> None:
    coupon, ada = await world.coupon(percent_off="10", max_redemptions=1), await world.customer()
    with pytest.raises(ValueError, match="the rest went wrong"):
        async with world.rt.db.begin(world.caller.merchant_id) as tx:
            await redemptions.redeem(tx, coupon, None, ada, world.now)
            raise ValueError("the rest went wrong")
    assert await counted(world, "coupons") == [0]
    await redeem(world, ada, [coupon])


async def test_a_subscription_that_never_came_to_be_gives_back_what_it_redeemed(
    world: World,
) -> None:
    coupon = await world.coupon(percent_off="10", max_redemptions=1, duration=Duration.ONCE)
    ada = await world.customer()
    word = await code(world, coupon)
    sub = await world.subscribe(ada, await world.price("1000"))
    await redeem(world, ada, codes=[word], subscription_id=sub)
    keys = [(world.caller.merchant_id, sub)]
    for given_back in (1, 0):  # again, nothing is left to give back
        async with world.rt.db.begin_system() as tx:
            assert await redemptions.release(tx, keys, world.now) == given_back
    assert await counted(world, "coupons") == await counted(world, "promotion_codes") == [0]
    await redeem(world, ada, codes=[word])


async def test_redemptions_are_told(world: World) -> None:
    coupon, ada = await world.coupon(percent_off="10"), await world.customer(None)
    await redeem(world, ada, [coupon])
    [told] = await world.fetch("SELECT data, object FROM events WHERE type = 'coupon.redeemed'")
    assert told["object"] == "redemption"
    assert str(coupon) in told["data"]
    assert str(ada) in told["data"]


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"valid_from": timedelta(days=1)}, "coupon_not_yet_valid"),
        ({"redeem_by": timedelta(days=2)}, "coupon_expired"),
    ],
)
async def test_a_coupon_has_its_time(world: World, options: dict, refused: str) -> None:
    times = {name: world.now + after for name, after in options.items()}
    coupon, ada = await world.coupon(percent_off="10", **times), await world.customer(None)
    if refused == "coupon_expired":
        await resolve(world, ada, [coupon])
        world.clock.advance(timedelta(days=2))
    with pytest.raises(InvalidRequest) as caught:
        await resolve(world, ada, [coupon])
    assert (caught.value.code, caught.value.param) == (refused, "coupon_ids[0]")


async def test_every_reason_names_where_it_was_asked_for(world: World) -> None:
    ada, bob = await world.customer(None), await world.customer(None)
    euros = await world.coupon(amount_off=500, currency="EUR")
    await code(world, euros, "BOBS", customer_id=bob)
    await code(world, euros, "BIG", minimum_amounts={"EUR": 2000})
    asked = [
        ([euros, euros], [], {}, "coupon_twice", "coupon_ids[1]"),
        ([euros], ["big"], {}, "coupon_twice", "promotion_codes[0]"),
        ([], ["nope"], {}, "promotion_code_not_found", "promotion_codes[0]"),
        ([], ["bobs"], {}, "promotion_code_not_for_customer", "promotion_codes[0]"),
        ([euros], [], {"currency": "USD"}, "currency_mismatch", "coupon_ids[0]"),
        (
            [],
            ["big"],
            {"currency": "EUR", "subtotal": 1999},
            "promotion_code_minimum_amount",
            "promotion_codes[0]",
        ),
    ]
    for ids, codes, options, refused, param in asked:
        with pytest.raises(InvalidRequest) as caught:
            await resolve(world, ada, ids, codes, **options)
        assert (caught.value.code, caught.value.param) == (refused, param)
    assert len(await resolve(world, bob, [], ["bobs"])) == 1
    assert len(await resolve(world, ada, [], ["big"], currency="EUR", subtotal=2000)) == 1


async def test_the_first_time_is_over_once_an_invoice_was_paid(world: World) -> None:
    coupon = await world.coupon(percent_off="10", first_time_only=True)
    ada = await world.customer()
    assert await resolve(world, ada, [coupon])
    await world.subscribe(ada, await world.price("1000"))
    with pytest.raises(InvalidRequest) as caught:
        await resolve(world, ada, [coupon])
    assert caught.value.code == "coupon_first_time_only"


async def test_a_coupon_comes_back_from_the_database_as_it_was_made(world: World) -> None:
    plan = await world.plan()
    made = await world.coupon(
        fixed_price=0,
        currency="JPY",
        currency_options={"EUR": 500},
        plan_ids=[plan],
        minimum_amounts={"JPY": 1000},
        duration=Duration.REPEATING,
        duration_in_periods=3,
    )
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        coupon, _ = (await coupons.load(tx, [made]))[made]
    assert coupon.amounts == {"JPY": 0, "EUR": 500}
    assert coupon.plan_ids == {plan}
    assert coupon.minimum_amounts == {"JPY": 1000}
    assert coupon.duration_periods == 3


# ── discounts of customers ────────────────────────────────────────────────────────────────────────


async def test_a_customer_s_discount_is_given_found_and_taken_back(world: World) -> None:
    ada = await world.customer(None)
    coupon = await world.coupon(percent_off="10", max_redemptions=1)
    cmd = CreateDiscount(ada, promotion_code=await code(world, coupon))
    made = await discount_service.create(world.rt, world.caller, cmd)
    key = (world.caller.merchant_id, ada)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        [found] = (await discounts.of_customers(tx, [key]))[key]
    assert (found.id, found.customer_id, found.periods_remaining) == (made["id"], ada, 1)
    assert found.promotion_code_id == made["promotion_code_id"]
    with pytest.raises(InvalidRequest, match="as often as it may be"):
        await discount_service.create(world.rt, world.caller, cmd)
    await discount_service.end(world.rt, world.caller, ada, made["id"])
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        assert await discounts.of_customers(tx, [key]) == {}


# ── offers ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_link_for_one_use_is_used_once_whoever_comes_at_once(world: World) -> None:
    coupon = await world.coupon(percent_off="50")
    token = await link(world, {"coupon_id": coupon, "trial_days": 14}, max_redemptions=1)
    people = [await world.customer(None) for _ in range(12)]
    came = await outcomes(*(claim(world, token, person) for person in people))
    assert came.count("ok") == 1
    assert set(came) <= {"ok", "offer_link_exhausted"}
    for table in ("offers", "offer_links", "coupons"):
        assert await counted(world, table) == [1]


async def test_what_an_offer_gives(world: World) -> None:
    coupon, price = await world.coupon(percent_off="50"), await world.price("500")
    token = await link(world, {"coupon_id": coupon, "price_id": price, "trial_days": 14})
    ada = await world.customer()
    given = await claim(world, token, ada)
    assert given.coupon is not None
    assert (given.coupon.id, given.price_id, given.trial_days) == (coupon, price, 14)
    sub = await world.subscribe(ada, price)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await redemptions.belong_to(tx, given.redemption_id, sub)
    [row] = await world.fetch("SELECT offer_id, subscription_id FROM redemptions")
    assert tuple(row) == (given.offer_id, sub)
    types = await world.fetch("SELECT type FROM events WHERE object = 'redemption' ORDER BY id")
    assert [row["type"] for row in types] == ["offer.redeemed", "coupon.redeemed"]
    # Once per customer, unless the offer says otherwise.
    with pytest.raises(Conflict, match="as often as one customer may"):
        await claim(world, token, ada)


async def test_a_claim_made_in_the_browser_stands_for_the_link_for_an_hour(world: World) -> None:
    token = await link(world, {"trial_days": 30})
    given = await offer_service.claim(world.rt, world.caller, token)
    assert given["offer_token"] != token
    assert await counted(world, "offer_links") == [0]
    forged = given["offer_token"][:-5] + "AAAA="
    for wrong in (forged, "oc_", "oc_!", "ol_nothing", "", "\x00", "offer_" + "0" * 26, "ä"):
        with pytest.raises(InvalidRequest) as caught:
            await claim(world, wrong, await world.customer(None))
        assert caught.value.code == "offer_token_invalid"
    await claim(world, given["offer_token"], await world.customer(None))
    world.clock.advance(timedelta(hours=1))
    with pytest.raises(InvalidRequest, match="no such offer"):
        await claim(world, given["offer_token"], await world.customer(None))
    await claim(world, token, await world.customer(None))


async def test_a_link_for_one_customer_is_of_no_use_to_another(world: World) -> None:
    ada, bob = await world.customer(None), await world.customer(None)
    token = await link(world, {"trial_days": 30}, customer_id=ada)
    with pytest.raises(InvalidRequest) as caught:
        await claim(world, token, bob)
    assert caught.value.code == "offer_link_not_for_customer"
    await claim(world, token, ada)


async def test_links_end_by_time_and_by_hand(world: World) -> None:
    ada = await world.customer(None)
    until = world.now + timedelta(days=1)
    token = await link(world, {"trial_days": 30}, expires_at=until)
    world.clock.set(until)
    with pytest.raises(InvalidRequest) as caught:
        await claim(world, token, ada)
    assert caught.value.code == "offer_link_expired"
    token = await link(world, {"trial_days": 30})
    [row] = await world.fetch("SELECT id, offer_id FROM offer_links ORDER BY id DESC LIMIT 1")
    given = await offer_service.claim(world.rt, world.caller, token)
    await offer_service.revoke_link(world.rt, world.caller, row["offer_id"], row["id"])
    for dead in (token, given["offer_token"]):
        with pytest.raises(InvalidRequest) as caught:
            await claim(world, dead, ada)
        assert caught.value.code == "offer_link_inactive"


async def test_segments_are_judged_when_the_offer_is_redeemed(world: World) -> None:
    plan = await world.plan("Pro")
    price = await world.price("1000", plan=plan)
    gone, here, new = [await world.customer() for _ in range(3)]
    ended = await world.subscribe(gone, price)
    await world.cancel(ended)
    await world.subscribe(here, price)
    segments = {
        "back": {"segment": Segment.CANCELED_WITHIN_DAYS, "segment_days": 30},
        "first": {"segment": Segment.NEVER_SUBSCRIBED},
        "pro": {"segment": Segment.ON_PLAN, "segment_plan_id": plan},
        "named": {"customer_ids": [new]},
    }
    welcome = {"back": gone, "first": new, "pro": here, "named": new}
    for name, target in segments.items():
        token = await link(world, {"trial_days": 7, **target})
        for customer in (gone, here, new):
            if customer == welcome[name]:
                await claim(world, token, customer)
                continue
            with pytest.raises(InvalidRequest) as caught:
                await claim(world, token, customer)
            assert caught.value.code == "offer_not_for_customer"
    world.clock.advance(timedelta(days=31))
    token = await link(world, {"trial_days": 7, **segments["back"]})
    with pytest.raises(InvalidRequest):
        await claim(world, token, gone)


async def test_the_offers_of_a_price_page(world: World) -> None:
    euros = await world.coupon(amount_off=100, currency="EUR", currency_options={"CHF": 120})
    tenth = await world.coupon(percent_off="10")
    made = {}
    for name, options in {
        "euros": {"coupon_id": euros, "listed": True},
        "german": {"coupon_id": tenth, "listed": True, "countries": ["DE"]},
        "dollars": {"price_id": await world.price("900", "USD"), "listed": True},
        "private": {"coupon_id": tenth},
        "later": {"trial_days": 3, "listed": True, "start_at": world.now + timedelta(days=1)},
    }.items():
        cmd = CreateOffer(name=name, **options)
        made[name] = (await offer_service.create(world.rt, world.caller, cmd))["id"]

    async def shown(*where: str | None) -> list[str]:
        async with world.rt.db.read(world.caller.merchant_id) as reader:
            rows = await offers.public(reader, world.now, *where)
        return sorted(row["name"] for row in rows)

    assert await shown() == ["dollars", "euros", "german"]
    assert await shown("FR") == ["dollars", "euros"]
    assert await shown("DE", "CHF") == ["euros", "german"]
    assert await shown("DE", "USD") == ["dollars", "german"]
    # A listed offer can be had by its identifier; the others only by a link.
    ada = await world.customer(None)
    assert (await claim(world, show("offer", made["euros"]), ada)).coupon is not None
    with pytest.raises(InvalidRequest, match="no such offer"):
        await claim(world, show("offer", made["private"]), ada)


# ── what storefronts are told ─────────────────────────────────────────────────────────────────────


async def test_a_code_is_checked_for_a_customer_and_for_prices(world: World) -> None:
    ada = await world.customer()
    pro, basic = await world.plan("Pro"), await world.plan("Basic")
    dear, cheap = await world.price("3000", plan=pro), await world.price("900", plan=basic)
    coupon = await world.coupon(
        amount_off=500,
        currency="EUR",
        plan_ids=[pro],
        max_redemptions_per_customer=1,
        minimum_amounts={"EUR": 1000},
    )
    word = await code(world, coupon)

    async def reason(typed: str, **options) -> str | None:
        asked = Check(typed, **options)
        return (await code_service.check(world.rt, world.caller, asked))["reason"]

    assert await reason("nothing") == "promotion_code_not_found"
    assert await reason(f" {word.lower()} ") is None
    assert await reason(word, price_ids=[dear, cheap]) is None
    assert await reason(word, price_ids=[cheap]) == "promotion_code_not_applicable"
    dollars = await world.price("3000", "USD", plan=pro)
    assert await reason(word, price_ids=[dollars]) == "currency_mismatch"
    await redeem(world, ada, codes=[word])
    assert await reason(word, customer_id=ada) == "coupon_already_redeemed"
    await coupon_service.update(
        world.rt, world.caller, coupon_service.UpdateCoupon(coupon, {"active": False})
    )
    assert await reason(word) == "coupon_inactive"
