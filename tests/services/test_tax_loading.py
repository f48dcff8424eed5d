"""Loading who pays which tax: for many customers of several merchants, in as many statements."""

from dataclasses import dataclass
from typing import Any

import pytest

from app.db import taxes
from app.domain.taxation import Scheme, Treatment
from app.ids import new_id
from app.services import customers, merchants, tax_ids, tax_rates, tax_registrations
from app.services.caller import Caller
from app.services.tax_registrations import CreateTaxRegistration
from tests.world import World

pytestmark = pytest.mark.anyio


@dataclass
class Counting:
    """A transaction that counts what is fetched through it."""

    tx: Any
    statements: int = 0

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        self.statements += 1
        return await self.tx.fetch(sql, *args)


async def another(world: World) -> Caller:
    opened = await merchants.create(world.rt, merchants.CreateMerchant(name="Other"), "test")
    return Caller(opened.merchant["id"], False, None, frozenset({"*"}), f"req_{new_id()}")


async def customer(world: World, caller: Caller, number: str | None = None, **address: str):
    cmd = customers.CreateCustomer(address=address)
    row = await customers.create(world.rt, caller, cmd)
    if number is not None:
        await tax_ids.create(world.rt, caller, tax_ids.AddTaxId(row["id"], "eu_vat", number))
    return caller.merchant_id, row["id"]


async def test_each_merchants_customers_are_taxed_by_its_own_books(world: World) -> None:
    # First: Germany with the one-stop shop. Second: France, without. Neither knows of the other.
    first, second = world.caller, await another(world)
    for caller, country in ((first, "DE"), (second, "FR")):
        await tax_rates.seed_eu(world.rt, caller)
        home = CreateTaxRegistration(country=country, home=True)
        await tax_registrations.create(world.rt, caller, home)
    one_stop = CreateTaxRegistration(country="DE", scheme=Scheme.OSS)
    await tax_registrations.create(world.rt, first, one_stop)
    expected = {}
    for caller, italian in ((first, 220_000), (second, 200_000)):
        expected |= {
            await customer(world, caller, country="IT"): (Treatment.TAXABLE, [italian]),
            await customer(world, caller, "IT00743110157", country="IT"): (
                Treatment.REVERSE_CHARGE,
                [0],
            ),
            await customer(world, caller, country="ES", postal_code="38001"): (
                Treatment.OUTSIDE_SCOPE,
                [0],
            ),
        }
    async with world.rt.db.begin_system() as tx:
        found = await taxes.load(tx, list(expected))
        assert await taxes.load(tx, []) == {}
        assert await taxes.load(tx, [(first.merchant_id, new_id())]) == {}
    told = {
        key: (
            one.treatment(None, world.now),
            [rate.rate_ppm for rate in one.rates(None, world.now)],
        )
        for key, one in found.items()
    }
    assert told == expected


async def test_the_number_of_statements_does_not_grow_with_the_chunk(world: World) -> None:
    await tax_rates.seed_eu(world.rt, world.caller)
    home = CreateTaxRegistration(country="DE", home=True)
    await tax_registrations.create(world.rt, world.caller, home)
    countries = ("DE", "FR", "IT", "US", "CH")
    keys = [
        await customer(world, world.caller, country=countries[n % 5], postal_code=f"{10_000 + n}")
        for n in range(25)
    ]
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        for chunk in (keys[:1], keys):
            counting = Counting(tx)
            found = await taxes.load(counting, chunk)
            assert (len(found), counting.statements) == (len(chunk), 5)
    # customers who are alike share what was worked out: one taxation for each country
    assert len({id(one) for one in found.values()}) == len(countries)
