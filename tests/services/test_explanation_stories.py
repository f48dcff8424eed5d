"""Lines explain themselves as stored, through the real services: steps, sources and the proof."""

from datetime import timedelta
from uuid import UUID

import pytest

from app.domain.errors import NotFound
from app.domain.explaining import About
from app.domain.policy import CancelCredit, When
from app.services import explanations
from app.services.changes import ChangedItem
from app.services.explanations import Explained
from tests.situations import Situations
from tests.world import World


async def explained(world: World, invoice: UUID, line: UUID) -> Explained:
    return await explanations.of_line(world.rt, world.caller, invoice, line)


async def all_lines(world: World) -> list[Explained]:
    rows = await world.fetch("SELECT invoice_id, id FROM invoice_lines ORDER BY id")
    return [await explained(world, row["invoice_id"], row["id"]) for row in rows]


def formulas(found: Explained, about: About) -> list[str]:
    return [step.formula for step in found.explanation.steps if step.about is about]


async def test_half_a_period_is_explained_as_a_share_in_seconds(world: World) -> None:
    sub = await world.subscribed("1000")
    dear = await world.price("2001")
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    credit, charge = (await all_lines(world))[1:]
    # 14 of 28 days are 1,209,600 of 2,419,200 seconds; half of 20.01 is 10.005, and 10.01 billed.
    assert formulas(charge, About.PRICE) == ["1 × 2001 = 2001"]
    assert formulas(charge, About.SHARE) == ["2001 × 1209600/2419200 = 2001/2"]
    assert formulas(charge, About.ROUNDING) == ["2001/2 → 1001"]
    assert formulas(credit, About.CREDIT) == ["1000", "-(1000 × 1209600/2419200) → -500"]
    for found in (credit, charge):
        assert found.explanation.differences == ()
        types = {row["type"] for row in found.causes}
        assert {"subscription.updated", "invoice.finalized"} <= types


async def test_the_odd_cent_is_found(world: World) -> None:
    customer = await world.customer()
    prices = [await world.price("333") for _ in range(3)]
    coupon = await world.coupon(percent_off="10")
    await world.subscribe(customer, *prices, coupon_ids=[coupon])
    # 10 % of 9.99 is 0.999: 1.00 is taken, 0.34 of the first line and 0.33 of the others.
    lines = await all_lines(world)
    assert [found.explanation.discount_amount for found in lines] == [34, 33, 33]
    steps = [s for found in lines for s in found.explanation.steps if s.about is About.DISCOUNT]
    assert steps[0].formula == "333 × 1/10 = 333/10 → 34"
    assert "the odd unit went to this line for its remainder 3/10" in steps[0].text
    assert "the odd unit went to larger remainders than this line's 3/10" in steps[1].text


async def test_what_somebody_changed_in_the_books_is_told(world: World, administrator) -> None:
    await world.subscribed("1000")
    await administrator.execute("UPDATE invoice_lines SET amount = 1001")
    [found] = await all_lines(world)
    [difference] = found.explanation.differences
    assert (difference.field, difference.stored, difference.reckoned) == ("amount", 1001, 1000)


async def test_there_is_no_line_of_another_invoice(world: World) -> None:
    await world.subscribed()
    [one] = await all_lines(world)
    with pytest.raises(NotFound):
        await explained(world, one.facts.invoice.id, UUID(int=9))
    with pytest.raises(NotFound):
        await explained(world, UUID(int=9), one.facts.line.id)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_was_billed_is_explained_as_it_is_stored(world: World, seed: int) -> None:
    situations = Situations(world, seed)
    await situations.stock()
    for _ in range(3):
        customer, options, items = await situations.subscription()
        sub = await world.subscribe(customer, *items, **options)
        for _ in range(3):
            world.clock.advance(timedelta(hours=situations.draw.randrange(1, 900)))
            await world.tick()
            await situations.change_if_allowed(sub)
        credit = situations.draw.choice(list(CancelCredit))
        await world.cancel(sub, credit=credit)
    for found in await all_lines(world):
        assert found.explanation.differences == (), found
        assert found.explanation.total == found.facts.line.total
