"""Entitlements: sums of what runs, whatever the order it is looked at in."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.entitlement import (
    GIVING,
    LIMIT_MAX,
    UNLIMITED,
    Feature,
    FeatureType,
    Grant,
    Held,
    Reset,
    entitlements,
    problems,
)
from app.domain.subscription import Status

SEATS = Feature(UUID(int=1), "seats", "Seats", FeatureType.LIMIT)
STORAGE = Feature(UUID(int=2), "storage", "Storage", FeatureType.LIMIT, "GB", per_unit=True)
SSO = Feature(UUID(int=3), "sso", "Single sign-on", FeatureType.BOOLEAN)
SUPPORT = Feature(UUID(int=4), "support", "Support", FeatureType.CONFIG)


def held(*grants, status=Status.ACTIVE, quantity=1, rank=0, sub=1):
    return Held(UUID(int=sub), status, UUID(int=100 + sub), rank, quantity, grants)


def values(*items):
    return {e.feature.key: e.value for e in entitlements(items)}


@pytest.mark.parametrize("status", Status)
def test_what_is_paid_for_or_about_to_be_entitles(status):
    gives = status in {Status.ACTIVE, Status.TRIALING, Status.PAST_DUE}
    assert values(held(Grant(SEATS, 5), status=status)) == ({"seats": 5} if gives else {})


def test_limits_are_summed_and_those_per_unit_by_quantity():
    # 5 seats and 5 * 10 GB; 2 seats and 1 * 50 GB.
    first = held(Grant(SEATS, 5), Grant(STORAGE, 10), quantity=5)
    second = held(Grant(SEATS, 2), Grant(STORAGE, 50), sub=2)
    assert values(first, second) == {"seats": 7, "storage": 100}


def test_unlimited_wins_over_any_number():
    assert values(held(Grant(SEATS, 5)), held(Grant(SEATS, UNLIMITED), sub=2)) == {
        "seats": UNLIMITED
    }
    assert values(held(Grant(STORAGE, UNLIMITED), quantity=0)) == {"storage": UNLIMITED}


def test_a_switch_is_on_where_any_plan_has_it_on():
    off, on = held(Grant(SSO, False)), held(Grant(SSO, True), sub=2)
    assert values(off) == {"sso": False}
    assert values(off, on) == values(on, off) == {"sso": True}


def test_the_highest_plans_text_holds_and_of_equals_the_oldest():
    low, high = held(Grant(SUPPORT, "email")), held(Grant(SUPPORT, "phone"), rank=2, sub=2)
    assert values(low, high) == values(high, low) == {"support": "phone"}
    equal = held(Grant(SUPPORT, "chat"), rank=2, sub=3)
    assert values(equal, high) == {"support": "phone"}


def test_where_a_part_resets_the_whole_does():
    month, stock = Grant(SEATS, 5, Reset.PERIOD), Grant(SEATS, 5)
    assert entitlements([held(stock)])[0].reset is Reset.NEVER
    assert entitlements([held(stock), held(month, sub=2)])[0].reset is Reset.PERIOD


def test_each_part_says_where_it_comes_from():
    [one] = entitlements([held(Grant(STORAGE, 10), quantity=3), held(Grant(STORAGE, 1), sub=2)])
    assert [(s.subscription_id.int, s.plan_id.int, s.quantity, s.value) for s in one.sources] == [
        (1, 101, 3, 30),
        (2, 102, 1, 1),
    ]


grants = st.one_of(
    st.builds(Grant, st.just(SEATS), st.one_of(st.integers(0, 10**6), st.just(UNLIMITED))),
    st.builds(Grant, st.just(STORAGE), st.integers(0, 10**6)),
    st.builds(Grant, st.just(SSO), st.booleans()),
    st.builds(Grant, st.just(SUPPORT), st.sampled_from(["email", "phone"])),
)
items = st.builds(
    lambda grants, status, quantity, rank, sub: held(
        *{grant.feature.id: grant for grant in grants}.values(),
        status=status,
        quantity=quantity,
        rank=rank,
        sub=sub,
    ),
    st.lists(grants, max_size=4),
    st.sampled_from(Status),
    st.integers(0, 100),
    st.integers(0, 3),
    st.integers(1, 50),
)
several = st.lists(items, max_size=6, unique_by=lambda item: item.subscription_id)


@given(several, st.randoms())
def test_the_order_does_not_matter(held_items, random):
    shuffled = list(held_items)
    random.shuffle(shuffled)
    assert entitlements(shuffled) == entitlements(held_items)


@given(several, items)
def test_one_more_plan_never_takes_a_limit_or_a_switch_away(held_items, more):
    before, after = values(*held_items), values(*held_items, more)
    for key, value in before.items():
        if key == "sso":
            assert after[key] >= value
        elif key in {"seats", "storage"}:
            assert after[key] == UNLIMITED or (value != UNLIMITED and after[key] >= value)


@given(several)
def test_a_limit_is_the_sum_of_its_sources(held_items):
    for one in entitlements(held_items):
        if one.feature.type is FeatureType.LIMIT and one.value != UNLIMITED:
            assert one.value == sum(source.value for source in one.sources)


@given(several)
def test_what_does_not_run_changes_nothing(held_items):
    running = [item for item in held_items if item.status in GIVING]
    assert entitlements(held_items) == entitlements(running)


@pytest.mark.parametrize(
    ("feature", "value", "sound"),
    [
        (SSO, True, True),
        (SSO, 1, False),
        (SSO, "true", False),
        (SEATS, 0, True),
        (SEATS, LIMIT_MAX, True),
        (SEATS, LIMIT_MAX + 1, False),
        (SEATS, -1, False),
        (SEATS, True, False),
        (SEATS, UNLIMITED, True),
        (SEATS, "5", False),
        (SUPPORT, "email", True),
        (SUPPORT, "", False),
        (SUPPORT, "x" * 501, False),
        (SUPPORT, 5, False),
        (replace(SUPPORT, key="other"), False, False),
    ],
)
def test_values_are_of_their_features_type(feature, value, sound):
    found = problems(feature, value, "features[0].value")
    assert not found if sound else [p.param for p in found] == ["features[0].value"]
