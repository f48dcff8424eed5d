"""Where an event stands after each verdict: only ends end it, and waiting ends in time."""

from app.domain.inbox import (
    DELAYS,
    NOT_FOUND_ATTEMPTS_MAX,
    Again,
    Ignored,
    Orphaned,
    Reason,
    Settled,
    Status,
    standing,
)


def test_ends_are_ends_whatever_came_before() -> None:
    for attempts in (0, 3, 99):
        assert standing(Settled(), attempts).status is Status.SETTLED
        ignored = standing(Ignored(Reason.NOT_OURS), attempts)
        assert (ignored.status, ignored.reason) == (Status.IGNORED, Reason.NOT_OURS)
        orphaned = standing(Orphaned(Reason.FOREIGN, "captured 1 EUR"), attempts)
        assert (orphaned.status, orphaned.detail) == (Status.ORPHANED, "captured 1 EUR")
        assert ignored.wait is orphaned.wait is None


def test_what_was_not_learned_waits_longer_each_time_and_then_for_a_person() -> None:
    waits = [standing(Again("timeout"), attempts).wait for attempts in range(len(DELAYS))]
    assert waits == sorted(waits)
    parked = standing(Again("timeout"), len(DELAYS))
    assert (parked.status, parked.detail, parked.wait) == (Status.FAILED, "timeout", None)


def test_what_the_gateway_denies_is_ignored_soon() -> None:
    absent = Again("not found", is_absent=True)
    for attempts in range(NOT_FOUND_ATTEMPTS_MAX - 1):
        assert standing(absent, attempts).status is Status.RECEIVED
    last = standing(absent, NOT_FOUND_ATTEMPTS_MAX - 1)
    assert (last.status, last.reason) == (Status.IGNORED, Reason.UNKNOWN_AT_GATEWAY)
