"""Deliveries: how long they are tried, how often, and when an endpoint is left alone."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.domain import delivery
from app.domain.delivery import ATTEMPTS_MAX, FAILING_MAX, Disabled, Health, Reply, Status

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
ONE = UUID(int=1)
OK, NO, GONE, LOST = Reply(200), Reply(500), Reply(410), Reply(None, "timeout")
ids = st.uuids()


def test_a_success_ends_it() -> None:
    for status in (200, 201, 202, 204, 299):
        after = delivery.after(ONE, 1, Reply(status), NOW)
        assert (after.status, after.due_at) == (Status.DELIVERED, None)


def test_everything_else_is_tried_again() -> None:
    for reply in (NO, LOST, GONE, *map(Reply, (100, 199, 300, 302, 400, 404, 429, 503))):
        after = delivery.after(ONE, 1, reply, NOW)
        assert after.status is Status.PENDING
        assert after.due_at > NOW


@given(ids)
def test_it_is_tried_for_about_three_days_and_given_up_then(one: UUID) -> None:
    now, attempts = NOW, 0
    while True:
        attempts += 1
        after = delivery.after(one, attempts, NO, now)
        if after.status is Status.FAILED:
            break
        assert after.due_at is not None
        now = after.due_at
    # 10 s, 30 s, 90 s … 6 h 4 min: 9 h 7 min; then five times 12 h: 69 h, a tenth more or less
    assert attempts == ATTEMPTS_MAX
    assert timedelta(hours=62) < now - NOW < timedelta(hours=76)


@given(ids, st.integers(1, ATTEMPTS_MAX))
def test_pauses_grow_threefold_up_to_twelve_hours_a_tenth_more_or_less(one, attempts) -> None:
    whole = min(timedelta(seconds=10) * 3 ** (attempts - 1), timedelta(hours=12))
    assert whole * 9 / 10 <= delivery.pause(one, attempts) <= whole * 11 / 10


@given(ids, st.integers(1, ATTEMPTS_MAX))
def test_the_same_attempt_of_the_same_delivery_waits_the_same(one, attempts) -> None:
    assert delivery.pause(one, attempts) == delivery.pause(one, attempts)


def test_what_failed_together_does_not_return_together() -> None:
    pauses = {delivery.pause(UUID(int=n), 5) for n in range(200)}
    assert len(pauses) > 100
    spread = max(pauses) - min(pauses)
    assert spread > timedelta(seconds=810) / 6


def test_an_endpoint_may_ask_for_more_time_but_not_for_any() -> None:
    def wait(seconds: int) -> timedelta:
        return delivery.after(ONE, 1, Reply(429, None, seconds), NOW).due_at - NOW

    assert wait(120) == timedelta(seconds=120)
    assert wait(1) == delivery.pause(ONE, 1)
    assert wait(999_999_999) == timedelta(hours=1)


def test_health_counts_failures_in_a_row_and_since_when() -> None:
    later = NOW + timedelta(hours=1)
    once = delivery.health(Health(), [NO], NOW)
    assert once == Health(1, NOW)
    assert delivery.health(once, [LOST, NO], later) == Health(3, NOW)
    assert delivery.health(once, [NO, OK], later) == Health()
    assert delivery.health(once, [OK, NO], later) == Health(1, later)
    assert delivery.health(once, [], later) == once


def test_an_endpoint_that_is_gone_is_left_alone_at_once() -> None:
    assert delivery.disabling(Health(1, NOW), [OK, GONE], NOW) is Disabled.GONE


def test_one_that_took_nothing_for_five_days_too_but_not_sooner() -> None:
    failing = Health(20, NOW)
    assert delivery.disabling(failing, [NO], NOW + FAILING_MAX) is Disabled.FAILING
    assert delivery.disabling(failing, [NO], NOW + FAILING_MAX - timedelta(seconds=1)) is None
    assert delivery.disabling(Health(), [OK], NOW + FAILING_MAX) is None
    # longer than any delivery is tried: nothing that is pending then was lost to it
    assert timedelta(hours=76) < FAILING_MAX
