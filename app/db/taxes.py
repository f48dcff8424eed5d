"""Everything that decides which tax customers pay, for many at once: five statements a chunk, and
two more where a merchant has a tax engine.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from app.db import tax_engine_rates, tax_rates, tax_registrations
from app.db.base import Tx
from app.db.tax_engine_rates import Asking
from app.domain.places import MEMBER_STATES, Place, locate
from app.domain.tax_engine import EngineTaxation, FailPolicy
from app.domain.tax_id import EU_VAT, USABLE
from app.domain.taxation import Buyer, Seller, TableRate, Taxation, TaxExempt

Key: TypeAlias = tuple[UUID, UUID]
"""The merchant, then the customer."""
Numbers: TypeAlias = tuple[frozenset[str], frozenset[str]]
"""The member states of a customer's EU VAT numbers, and the countries of its other numbers."""

AnyTaxation: TypeAlias = Taxation | EngineTaxation
"""By the merchant's own books, or by the word of its tax engine."""

NO_NUMBERS: Numbers = (frozenset(), frozenset())


class Books:
    """What merchants keep about tax, and the taxations of their buyers, one for all alike."""

    def __init__(
        self,
        sellers: dict[UUID, Seller],
        rates: dict[UUID, tuple[TableRate, ...]],
        zones: dict[UUID, ZoneInfo],
        engines: Mapping[UUID, FailPolicy],
    ) -> None:
        self.engines = engines
        self._sellers = sellers
        self._rates = rates
        self._zones = zones
        self._known: dict[tuple[object, ...], Taxation] = {}
        # How much of a postal code tells buyers apart: as much as the rates of a country ask for.
        self._chars: dict[tuple[UUID, str], int] = defaultdict(int)
        for merchant, table in rates.items():
            for rate in table:
                longest = max(map(len, rate.postal_codes), default=0)
                key = merchant, rate.country
                self._chars[key] = max(self._chars[key], longest)

    def taxation(
        self, merchant_id: UUID, place: Place | None, exempt: str, numbers: Numbers
    ) -> Taxation:
        """The taxation of such a buyer."""
        if place is None:
            key: tuple[object, ...] = merchant_id, exempt, numbers
        else:
            postal = place.postal_code[: self._chars.get((merchant_id, place.country), 0)]
            key = merchant_id, exempt, numbers, place.country, place.region, place.detached, postal
            if key not in self._known:
                place = Place(place.country, place.region, postal, place.detached)
        known = self._known.get(key)
        if known is None:
            buyer = Buyer(place, TaxExempt(exempt), *numbers)
            known = self._known[key] = self._new(merchant_id, buyer)
        return known

    def _new(self, merchant_id: UUID, buyer: Buyer) -> Taxation:
        seller, place = self._sellers[merchant_id], buyer.place
        countries = seller.home_countries | ({place.country} if place is not None else set())
        table = [rate for rate in self._rates[merchant_id] if rate.country in countries]
        return Taxation(seller, buyer, table, self._zones[merchant_id])


async def books(tx: Tx, merchants: Sequence[UUID], countries: Collection[str]) -> Books:
    """The merchants' registrations and time zones, and their rates of home and `countries`."""
    rows = await tx.fetch(
        """
        SELECT m.id, m.zone, e.fail_policy
          FROM merchants m LEFT JOIN tax_engines e ON e.merchant_id = m.id
         WHERE m.id = ANY($1::uuid[])
        """,
        list(merchants),
    )
    sellers = await tax_registrations.sellers(tx, merchants)
    wanted = frozenset(countries).union(*(seller.home_countries for seller in sellers.values()))
    return Books(
        sellers,
        await tax_rates.tables_of(tx, merchants, wanted),
        {row["id"]: ZoneInfo(row["zone"]) for row in rows},
        {row["id"]: FailPolicy(row["fail_policy"]) for row in rows if row["fail_policy"]},
    )


async def load(tx: Tx, keys: Sequence[Key]) -> dict[Key, AnyTaxation]:
    """The taxation of each (merchant, customer) that is there."""
    if not keys:
        return {}
    numbers = await _numbers(tx, keys)
    rows = await tx.fetch(
        """
        SELECT c.merchant_id, c.id, c.country, c.address ->> 'state' AS state,
               c.address ->> 'postal_code' AS postal_code, c.tax_exempt
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN customers c USING (merchant_id, id)
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    places = [locate(row[2], row[3], row[4]) if row[2] is not None else None for row in rows]
    countries = {place.country for place in places if place is not None}
    kept = await books(tx, list({merchant for merchant, _ in keys}), countries)
    tables: dict[Key, Taxation] = {}
    asking: dict[Key, Place] = {}
    for row, place in zip(rows, places, strict=True):
        key = row[0], row[1]
        tables[key] = kept.taxation(key[0], place, row[5], numbers.get(key, NO_NUMBERS))
        if key[0] in kept.engines and place is not None:
            asking[key] = place
    return {**tables, **await _said(tx, kept, tables, asking)}


async def _said(
    tx: Tx, kept: Books, tables: Mapping[Key, Taxation], asking: Mapping[Key, Place]
) -> dict[Key, EngineTaxation]:
    """The taxations of those whose merchant has an engine, and who are somewhere."""
    if not asking:
        return {}
    numbers = await tax_engine_rates.numbers(tx, list(asking))
    buyers = [
        Asking(key[0], tables[key], place, kept.engines[key[0]], numbers.get(key, ()))
        for key, place in asking.items()
    ]
    return dict(zip(asking, await tax_engine_rates.taxations(tx, buyers), strict=True))


async def _numbers(tx: Tx, keys: Sequence[Key]) -> dict[Key, Numbers]:
    """The countries of the numbers that make a customer a business."""
    rows = await tx.fetch(
        """
        SELECT i.merchant_id, i.customer_id, i.type, i.country
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, customer_id)
          JOIN customer_tax_ids i USING (merchant_id, customer_id)
         WHERE i.status = ANY($3::text[]) AND i.country IS NOT NULL
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
        list(USABLE),
    )
    found: dict[Key, list[tuple[str, str]]] = defaultdict(list)
    for merchant, customer, kind, country in rows:
        found[merchant, customer].append((kind, country))
    return {key: countries_of(held) for key, held in found.items()}


def countries_of(held: Iterable[tuple[str, str]]) -> Numbers:
    """The countries of numbers, given each one's type and country."""
    states: set[str] = set()
    others: set[str] = set()
    for kind, country in held:
        (states if kind == EU_VAT and country in MEMBER_STATES else others).add(country)
    return frozenset(states), frozenset(others)
