"""Advice compares list prices: the cheapest is found, and nobody is told to pay more."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.domain import pricing
from app.domain.advice import Direction, Past, advise
from app.domain.calendar import Interval, Period, Unit
from app.domain.pricing import PriceModel, Timing, Usage
from tests.domain.books import price
from tests.domain.lives import CATALOGUE, METER

SPAN = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
ITEM = UUID(int=9)


def past(*quantities: int) -> list[Past]:
    return [Past(SPAN, quantity) for quantity in quantities]


def test_a_dearer_plan_can_be_cheaper_for_many() -> None:
    small = price(1000)
    team = price(4000, model=PriceModel.FLAT, plan_id=UUID(int=50), plan_rank=2)
    found = advise(ITEM, small, past(3, 5, 6), [small, team], {})
    # 30 + 50 + 60 against three times 40.
    assert (found.current.total, found.current.costs) == (14_000, (3_000, 5_000, 6_000))
    [option] = found.options
    assert (option.total, option.saving, option.direction) == (12_000, 2_000, Direction.UP)
    assert found.best is option


def test_a_year_is_compared_by_its_mean_month() -> None:
    monthly = price(1000)
    yearly = price(10_000, interval=Interval(Unit.YEAR))
    found = advise(ITEM, monthly, past(1), [yearly], {})
    # 100.00 a year are 8.333 a month: a mean month is a twelfth of a mean year.
    assert found.options[0].costs == (833,)
    assert found.options[0].saving == 167


def test_what_is_not_comparable_is_left_out() -> None:
    here = price(1000)
    others = [
        price(1, currency="USD"),
        price(2, active=False),
        price(3, plan_family="other"),
        price(4, min_quantity=10),
        price(5, usage=Usage.METERED, timing=Timing.ARREARS, meter_id=METER),
    ]
    assert advise(ITEM, here, past(1), others, {}).options == ()


def test_features_say_what_the_cheaper_plan_lacks() -> None:
    here, there = price(1000), price(500, plan_id=UUID(int=50), plan_rank=-1)
    features = {here.plan_id: frozenset({"sso", "api"}), there.plan_id: frozenset({"api", "seats"})}
    [option] = advise(ITEM, here, past(1), [there], features).options
    assert (option.gained, option.lost, option.direction) == (("seats",), ("sso",), Direction.DOWN)


@given(st.sampled_from(CATALOGUE), st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_the_cheapest_is_the_cheapest(current: pricing.Price, quantities: list[int]) -> None:
    found = advise(ITEM, current, past(*quantities), CATALOGUE, {})
    totals = [option.total for option in found.options]
    assert totals == sorted(totals)
    for option in found.options:
        exact = [pricing.amount(option.price, quantity).minor for quantity in quantities]
        assert option.total == sum(exact)
        assert option.saving == found.current.total - option.total
    if found.best is not None:
        assert found.best.total < found.current.total
        assert found.best.total == min(totals)
