"""Which prices a page shows: the country's own win, and only among those they stand for."""

from uuid import UUID

from app.domain.calendar import Interval, Unit
from app.domain.pricing import Price, PriceModel
from app.domain.storefront import in_effect


def a_price(id, *countries, currency="EUR", unit=Unit.MONTH, **more):
    given = {"id": UUID(int=id), "plan_id": UUID(int=1), "version": 1, "currency": currency}
    given |= {"interval": Interval(unit), "model": PriceModel.FLAT}
    return Price(countries=frozenset(countries), **given | more)


EVERYWHERE = a_price(1)
GERMAN = a_price(2, "DE", "AT")
YEARLY = a_price(3, unit=Unit.YEAR)
DOLLARS = a_price(4, currency="USD")
INDIAN = a_price(5, "IN", currency="INR")
ARCHIVED = a_price(6, active=False)
ALL = [EVERYWHERE, GERMAN, YEARLY, DOLLARS, INDIAN, ARCHIVED]


def test_without_a_country_only_what_holds_everywhere():
    assert in_effect(ALL) == [EVERYWHERE, YEARLY, DOLLARS]


def test_the_countrys_own_price_stands_for_the_general_one():
    assert in_effect(ALL, "DE") == [GERMAN, YEARLY, DOLLARS]
    assert in_effect(ALL, "FR") == [EVERYWHERE, YEARLY, DOLLARS]
    assert in_effect(ALL, "IN") == [EVERYWHERE, YEARLY, DOLLARS, INDIAN]


def test_a_currency_shows_its_own_prices_only():
    assert in_effect(ALL, "DE", "USD") == [DOLLARS]
    assert in_effect(ALL, "IN", "INR") == [INDIAN]
    assert in_effect(ALL, "FR", "INR") == []


def test_prices_that_stand_side_by_side_stay_so():
    small, large = a_price(7), a_price(8)
    assert in_effect([small, large]) == [small, large]
    assert in_effect([small, a_price(9, "DE"), a_price(10, "DE")], "DE")[0].id == UUID(int=9)
