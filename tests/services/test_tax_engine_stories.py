"""Taxes by an outside engine's word: on the invoice, kept, and while the engine is away."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.errors import Unavailable
from app.domain.tax_engine import FailPolicy
from app.services import (
    customers,
    pending_items,
    previews,
    tax,
    tax_engines,
    tax_prefetch,
    tax_rates,
    tax_registrations,
)
from app.services.pending_items import CreateItem, NewItem
from app.services.previews import PreviewInvoices
from app.services.tax_engines import PutTaxEngine
from app.services.tax_prefetch import answered
from app.services.tax_registrations import CreateTaxRegistration
from tests.simulator import SimulatorProcess
from tests.tax_engine import Engine, tax_engine
from tests.world import RENEWED, STARTED, World, open_world

pytestmark = pytest.mark.anyio

SECRET = "thirty-two characters are enough here"


@pytest.fixture
async def engine(anyio_backend: str) -> AsyncIterator[Engine]:
    """An engine that knows Germany and France."""
    async with tax_engine() as running:
        running.charges("DE", "19")
        running.charges("FR", "20")
        yield running


@pytest.fixture
async def world(
    clean_database: str, simulator: SimulatorProcess, engine: Engine
) -> AsyncIterator[World]:
    """A shop whose taxes the engine says; blocked while it is away."""
    simulator.clear_faults()
    options = {"tax_engine_secret": SECRET, "private_addresses_allowed": True}
    async with open_world(clean_database, simulator, **options) as opened:
        await uses(opened, engine)
        yield opened


async def uses(world: World, engine: Engine, policy: FailPolicy = FailPolicy.BLOCK) -> None:
    cmd = PutTaxEngine(engine.url, policy)
    _, engine.secret = await tax_engines.put(world.rt, world.caller, cmd)


async def subscribed(world: World, country: str = "DE", **options: Any) -> tuple[UUID, UUID]:
    """A customer there, and its subscription at 10.00 a month."""
    customer = await world.customer(address={"country": country})
    price = await world.price("1000")
    sub = await answered(
        world.rt, lambda: world.subscribe(customer, price, automatic_tax=True, **options)
    )
    return customer, sub


async def at_home_at_7_percent(world: World) -> None:
    """What the merchant's own books say: Germany, at 7 %."""
    home = CreateTaxRegistration(country="DE", home=True)
    await tax_registrations.create(world.rt, world.caller, home)
    own = tax_rates.CreateTaxRate(display_name="VAT", percentage="7", country="DE")
    await tax_rates.create(world.rt, world.caller, own)


async def totals(world: World, sub: UUID) -> list[int]:
    return [invoice["total"] for invoice in await world.invoices(sub)]


async def rates_of(world: World, invoice: UUID) -> list[tuple[str, int, str]]:
    """The taxes on an invoice's lines, by the rows of rates that they refer to."""
    rows = await world.fetch(
        """
        SELECT t.jurisdiction, t.rate_ppm, t.source
          FROM invoice_line_taxes x JOIN tax_rates t ON t.id = x.tax_rate_id
          JOIN invoice_lines l ON l.id = x.line_id WHERE l.invoice_id = $1
        """,
        invoice,
    )
    return [tuple(row) for row in rows]


async def test_the_engines_rate_is_on_the_line_and_it_is_asked_once_a_day(
    world: World, engine: Engine
) -> None:
    _, first = await subscribed(world)
    await world.expect(*STARTED)
    # 10.00 and 19 % of it
    assert await totals(world, first) == [1190]
    invoice = await world.invoice(first)
    assert await rates_of(world, invoice["id"]) == [("DE", 190_000, "tax_engine")]
    assert [one["day"] for one in engine.asked] == ["2026-01-31"]
    # another customer who is alike is taxed by what is kept, and by the same row
    await subscribed(world)
    assert len(engine.asked) == 1
    assert len(await world.fetch("SELECT FROM tax_rates")) == 1
    await world.assert_clean()


async def test_renewals_are_asked_for_ahead_and_so_survive_an_engine_that_is_away(
    world: World, engine: Engine
) -> None:
    _, sub = await subscribed(world)
    await world.told()
    world.clock.set(datetime(2026, 2, 27, 12, tzinfo=UTC))
    assert await tax_prefetch.prefetch_due(world.rt) == 1
    assert await tax_prefetch.prefetch_due(world.rt) == 0
    assert [one["day"] for one in engine.asked] == ["2026-01-31", "2026-02-28"]
    engine.fault = "500"
    await world.advance(to=datetime(2026, 2, 28, 9, tzinfo=UTC), expect=RENEWED)
    assert await totals(world, sub) == [1190, 1190]
    await world.assert_clean()


async def test_many_renewals_are_asked_for_in_batches(world: World, engine: Engine) -> None:
    price = await world.price("1000")
    subs = []
    for number in range(60):
        customer = await world.customer(
            address={"country": "DE", "postal_code": f"{10_000 + number}"}
        )
        subs.append(await world.subscribe(customer, price, automatic_tax=True, trial_days=7))
    await world.told()
    await world.advance_quietly(days=7)
    # each postal code is a question: 60 of them make a call of 50 and a call of 10
    assert sorted(len(call) for call in engine.calls) == [10, 50]
    assert {(await totals(world, sub))[0] for sub in subs} == {1190}


async def test_a_renewal_stays_due_while_the_engine_is_away_and_comes_when_it_is_back(
    world: World, engine: Engine
) -> None:
    _, sub = await subscribed(world)
    _, free = await subscribed(world)
    await world.told()
    engine.fault = "500"
    await world.advance(months=1, expect=[])
    row = await world.subscription(sub)
    assert (row["parked_at"], row["status"]) == (None, "active")
    engine.fault = None
    # left alone for a minute, then asked again
    await world.advance(seconds=59, expect=[])
    await world.advance(seconds=1, expect=[*RENEWED, *RENEWED])
    assert await totals(world, sub) == [1190, 1190]
    assert await totals(world, free) == [1190, 1190]
    await world.assert_clean()


async def test_others_are_billed_while_one_merchants_engine_is_away(
    world: World, engine: Engine
) -> None:
    _, waiting = await subscribed(world)
    other = await world.subscribed("500")
    await world.told()
    engine.fault = "500"
    await world.advance(months=1, expect=RENEWED)
    assert (len(await totals(world, waiting)), len(await totals(world, other))) == (1, 2)


async def test_a_request_is_refused_for_now_while_the_engine_is_away(
    world: World, engine: Engine
) -> None:
    engine.fault = "garbage"
    with pytest.raises(Unavailable) as refused:
        await subscribed(world)
    assert refused.value.code == "tax_engine_unavailable"
    assert await world.told() == []
    engine.fault = None
    world.clock.advance(timedelta(seconds=60))
    _, sub = await subscribed(world)
    assert await totals(world, sub) == [1190]


async def test_the_merchants_own_table_stands_in_where_it_says_so(
    world: World, engine: Engine
) -> None:
    await uses(world, engine, FailPolicy.USE_TABLE)
    await at_home_at_7_percent(world)
    engine.fault = "500"
    _, sub = await subscribed(world)
    # 10.00 and the table's 7 %
    assert await totals(world, sub) == [1070]
    engine.fault = None
    await world.advance(months=1, expect=[*STARTED, *RENEWED])
    assert await totals(world, sub) == [1070, 1190]
    await world.assert_clean()


async def test_a_customer_who_moves_is_taxed_there_from_the_next_period(
    world: World, engine: Engine
) -> None:
    customer, sub = await subscribed(world)
    await world.told()
    moved = customers.UpdateCustomer(customer, {"address": {"country": "FR"}})
    await customers.update(world.rt, world.caller, moved)
    await world.advance(months=1, expect=RENEWED)
    assert await totals(world, sub) == [1190, 1200]
    assert engine.asked[-1]["buyer"]["country"] == "FR"
    await world.assert_clean()


async def test_a_tax_that_is_spared_says_why(world: World, engine: Engine) -> None:
    engine.rates["FR"] = {
        "rates": [{"name": "TVA", "jurisdiction": "FR", "percentage": "0"}],
        "reason": "reverse_charge",
    }
    _, sub = await subscribed(world, "FR")
    invoice = await world.invoice(sub)
    [line] = await world.lines(invoice["id"])
    [part] = await world.fetch("SELECT * FROM invoice_line_taxes WHERE line_id = $1", line["id"])
    assert (invoice["total"], part["amount"], part["reason"]) == (1000, 0, "reverse_charge")


async def test_a_look_ahead_is_taxed_as_of_today(world: World, engine: Engine) -> None:
    _, sub = await subscribed(world)
    cmd = PreviewInvoices(subscription_id=sub, at=datetime(2027, 1, 1, tzinfo=UTC))
    found = await answered(world.rt, lambda: previews.invoices(world.rt, world.caller, cmd))
    assert found.preview.next is not None
    assert found.preview.next.total == 1190
    assert [one["day"] for one in engine.asked] == ["2026-01-31"]


async def test_a_calculation_asks_the_engine_too(world: World, engine: Engine) -> None:
    cmd = tax.CalculateTax([tax.LineAsked(1000)], buyer=tax.BuyerAsked("FR"))
    found = await answered(world.rt, lambda: tax.calculate(world.rt, world.caller, cmd))
    assert (found.taxes.amount, found.resolved[0].country) == (200, "FR")


async def test_without_the_engine_the_table_applies_again(world: World, engine: Engine) -> None:
    _, sub = await subscribed(world)
    await world.told()
    await tax_engines.delete(world.rt, world.caller)
    await at_home_at_7_percent(world)
    await world.advance(months=1, expect=RENEWED)
    assert await totals(world, sub) == [1190, 1070]
    await world.assert_clean()


async def test_a_test_clock_takes_an_engine_along(world: World, engine: Engine) -> None:
    clock = await world.test_clock()
    customer = await world.customer(address={"country": "DE"}, test_clock_id=clock)
    price = await world.price("1000")
    sub = await answered(world.rt, lambda: world.subscribe(customer, price, automatic_tax=True))
    await world.turn(clock, datetime(2026, 4, 30, 9, tzinfo=UTC))
    assert await totals(world, sub) == [1190] * 4
    assert [one["day"] for one in engine.asked] == [
        "2026-01-31",
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
    ]


async def test_what_waits_for_an_invoice_is_asked_for_with_it(world: World, engine: Engine) -> None:
    customer, sub = await subscribed(world)
    _, other = await subscribed(world)
    item = NewItem(amount=500, description="Installation", tax_code="service")
    cmd = CreateItem(customer_id=customer, item=item, currency="EUR", subscription_id=sub)
    await answered(world.rt, lambda: pending_items.create(world.rt, world.caller, cmd))
    await world.told()
    engine.fault = "500"
    # what is kept of the day it was noted on is forgotten by now, and the chunk cannot be loaded
    await world.advance(months=1, expect=[])
    assert (await world.subscription(sub))["parked_at"] is None
    engine.fault = None
    await world.advance_quietly(minutes=1)
    # 19 % of 10.00 and of 5.00
    assert (await totals(world, sub), await totals(world, other)) == ([1190, 1785], [1190, 1190])
