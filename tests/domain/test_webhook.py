"""Who is told what: names, nouns, everything, and a ping to the one it is about."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import webhook
from app.domain.event import Type
from app.domain.webhook import PATTERNS, PING, Endpoint, Told

OBJECT = UUID(int=7)


def endpoint(*patterns: str, number: int = 1) -> Endpoint:
    return Endpoint(UUID(int=number), frozenset(patterns))


def told(type_: str, number: int = 100, about: UUID = OBJECT) -> Told:
    return Told(UUID(int=number), type_, about)


@pytest.mark.parametrize(
    ("patterns", "type_", "wanted"),
    [
        (["*"], "invoice.paid", True),
        (["invoice.paid"], "invoice.paid", True),
        (["invoice.paid"], "invoice.voided", False),
        (["invoice.*"], "invoice.voided", True),
        (["price.*"], "price_migration.created", False),
        (["price_migration.*"], "price_migration.created", True),
        (["customer.*", "refund.failed"], "refund.failed", True),
        (["customer.*", "refund.failed"], "refund.succeeded", False),
    ],
)
def test_a_filter_lets_through_what_it_names(patterns, type_, wanted) -> None:
    assert webhook.wants(endpoint(*patterns), told(type_)) is wanted


def test_a_ping_goes_to_the_endpoint_it_is_about_and_to_no_other() -> None:
    one, other = endpoint("invoice.paid"), endpoint("*", number=2)
    ping = told(PING, about=one.id)
    assert webhook.wants(one, ping)
    assert not webhook.wants(other, ping)


def test_a_ping_cannot_be_asked_for() -> None:
    assert PING not in PATTERNS
    assert {t.value for t in Type} - PATTERNS == {PING}
    assert {"*", "invoice.*", "webhook_endpoint.*"} <= PATTERNS


@given(
    st.lists(st.sampled_from(sorted(Type)), max_size=30),
    st.lists(st.sets(st.sampled_from(sorted(PATTERNS)), min_size=1, max_size=4), max_size=5),
)
def test_each_endpoint_is_told_what_it_wants_in_order_and_once(types, filters) -> None:
    events = [told(type_, number) for number, type_ in enumerate(types)]
    endpoints = [endpoint(*patterns, number=n) for n, patterns in enumerate(filters)]
    found = webhook.fan_out(events, endpoints)
    for one in endpoints:
        assert list(found.get(one.id, [])) == [e for e in events if webhook.wants(one, e)]
    assert set(found) <= {one.id for one in endpoints}
    assert all(found.values())
