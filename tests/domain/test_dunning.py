"""Dunning held to its laws: moments in any zone, limits, and what may follow a decline."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import product
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import dunning, dunning_policy, dunning_run
from app.domain.dunning import Finish, Remind, RetryAt, TryNow, WaitForMethod
from app.domain.dunning_policy import ACH, DEFAULT, SCHEMES, Limit, Policy, Step, allowed_from
from app.domain.dunning_run import Dunning, Facts, Happening, Method, Status, Try
from app.domain.errors import Conflict
from app.domain.invoice import Collection
from app.domain.outcome import DeclineAdvice, DeclineCategory, DeclineInfo, DeclineReason

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia")
FAILED = datetime(2026, 2, 28, 9, tzinfo=UTC)
CARD, OTHER = UUID(int=1), UUID(int=2)
DAY = timedelta(days=1)

START = datetime(2024, 1, 1, tzinfo=UTC)
instants = st.timedeltas(timedelta(0), 2_000 * DAY).map(lambda later: START + later)
times = st.lists(instants, max_size=40)
limits = st.builds(Limit, st.integers(1, 20), st.timedeltas(timedelta(hours=1), 200 * DAY))


@st.composite
def step_lists(draw: st.DrawFn) -> tuple[Step, ...]:
    """Steps that a policy may have, in order."""
    days = sorted(draw(st.sets(st.integers(1, 60), min_size=1, max_size=8)))
    hours = draw(st.one_of(st.none(), st.times()))
    at = None if hours is None else time(hours.hour, hours.minute)
    return tuple(Step(day, at=at, is_attempt=draw(st.booleans())) for day in days)


categories = st.sampled_from(DeclineCategory)
infos = st.builds(
    DeclineInfo,
    categories,
    st.sampled_from(DeclineReason),
    st.just("code"),
    st.sampled_from(DeclineAdvice),
    st.one_of(st.none(), st.integers(0, 20 * 86_400)),
)


def run(**options: object) -> Dunning:
    """A run that failed on 28 February at nine."""
    return replace(
        Dunning(
            id=UUID(int=9),
            merchant_id=UUID(int=8),
            invoice_id=UUID(int=7),
            customer_id=UUID(int=6),
            collection=Collection.CHARGE_AUTOMATICALLY,
            currency="EUR",
            amount=1000,
            paid_before=0,
            policy=DEFAULT,
            zone="UTC",
            status=Status.ACTIVE,
            failed_at=FAILED,
            created_at=FAILED,
        ),
        **options,
    )


def declined(
    category: DeclineCategory = DeclineCategory.SOFT,
    advice: DeclineAdvice = DeclineAdvice.RETRY_LATER,
    retry_after: int | None = None,
) -> DeclineInfo:
    return DeclineInfo(category, DeclineReason.GENERIC, "code", advice, retry_after)


# ── moments ───────────────────────────────────────────────────────────────────────────────────────


@given(step_lists(), instants, st.sampled_from(ZONES))
def test_the_moments_of_a_policy_ascend_and_come_after_the_failure(
    steps: tuple[Step, ...], since: datetime, zone: str
) -> None:
    moments = [step.moment(since, zone) for step in steps]
    assert moments == sorted(moments)
    # Apia left out 30 December 2011, before these years: no day is skipped whole.
    assert all(at > since for at in moments)
    assert len(set(moments)) == len(moments)


@given(step_lists(), instants, st.sampled_from(ZONES))
def test_a_step_is_on_its_day_there_whatever_the_clocks_do(
    steps: tuple[Step, ...], since: datetime, zone: str
) -> None:
    there = ZoneInfo(zone)
    for step in steps:
        at = step.moment(since, zone).astimezone(there)
        assert (at.date() - since.astimezone(there).date()).days in (step.days, step.days + 1)
        if step.at is not None:
            # A time that the clocks skip moves forward by what they skip: an hour at the most.
            shown = timedelta(hours=at.hour, minutes=at.minute)
            wanted = timedelta(hours=step.at.hour, minutes=step.at.minute)
            assert shown - wanted in (timedelta(0), timedelta(minutes=30), timedelta(hours=1))


def test_nine_in_the_morning_stays_nine_when_the_clocks_go_forward() -> None:
    # New York goes forward on 8 March 2026: 9:00 is 14:00 UTC before, 13:00 after.
    before, after = Step(1, at=time(9)), Step(9, at=time(9))
    assert before.moment(FAILED, "America/New_York") == datetime(2026, 3, 1, 14, tzinfo=UTC)
    assert after.moment(FAILED, "America/New_York") == datetime(2026, 3, 9, 13, tzinfo=UTC)


@given(step_lists())
def test_a_policy_is_the_same_once_it_was_written_down(steps: tuple[Step, ...]) -> None:
    policy = Policy(id=UUID(int=5), steps=steps, channels=("email", "sms"))
    written = dunning_policy.document(policy)
    assert dunning_policy.of_document(written) == policy


# ── limits ────────────────────────────────────────────────────────────────────────────────────────


@given(times, st.lists(limits, max_size=3), instants)
def test_an_attempt_that_is_allowed_passes_no_limit(
    tries: list[datetime], allowed: list[Limit], wanted: datetime
) -> None:
    at = allowed_from(wanted, tries, allowed)
    assert at >= wanted
    for limit in allowed:
        within = [tried for tried in tries if at - limit.within < tried <= at]
        assert len(within) < limit.attempts


@given(times, limits, instants)
def test_nothing_is_put_off_without_need(
    tries: list[datetime], limit: Limit, wanted: datetime
) -> None:
    at = allowed_from(wanted, tries, [limit])
    if at > wanted:
        just_before = at - timedelta(microseconds=1)
        within = [t for t in tries if just_before - limit.within < t <= just_before]
        assert len(within) >= limit.attempts


def test_what_each_scheme_bears() -> None:
    assert dunning_policy.scheme_limits("card", "Visa", "EUR") == SCHEMES["visa"]
    assert [limit.attempts for limit in SCHEMES["mastercard"]] == [10, 35]
    assert dunning_policy.scheme_limits("bank_account", None, "USD") == ACH
    assert dunning_policy.scheme_limits("bank_account", None, "EUR") != ACH
    assert dunning_policy.scheme_limits("card", None, "EUR")[0].attempts == 15


# ── what follows ──────────────────────────────────────────────────────────────────────────────────


@given(infos, st.booleans(), st.integers(0, 9), st.lists(st.integers(0, 9), max_size=20))
def test_a_method_that_is_blocked_is_never_asked_again(
    info: DeclineInfo, is_refused: bool, day: int, tried: list[int]
) -> None:
    facts = Facts(
        usual=Method(CARD, is_refused=is_refused),
        tries=tuple(Try(CARD, FAILED + n * DAY) for n in [0, *tried]),
    )
    blocked = run(blocked_method_id=CARD)
    verdict = dunning.what_follows(blocked, facts, FAILED + day * DAY, info)
    assert isinstance(verdict, WaitForMethod | Finish)


@given(infos, st.integers(0, 9), st.lists(st.integers(-30, 9), max_size=30), step_lists())
def test_a_planned_attempt_is_a_step_ahead_and_within_every_limit(
    info: DeclineInfo, day: int, tried: list[int], steps: tuple[Step, ...]
) -> None:
    now = FAILED + day * DAY
    times = tuple(FAILED + n * DAY for n in tried if n <= day)
    facts = Facts(
        usual=Method(CARD, SCHEMES["visa"], presented=times),
        tries=tuple(Try(CARD, at) for at in times) or (Try(CARD, now),),
    )
    state = run(policy=Policy(steps=steps, attempts_max=5))
    verdict = dunning.what_follows(state, facts, now, info)
    if isinstance(verdict, RetryAt):
        assert now < verdict.at <= state.moments[-1]
        assert verdict.at >= now + timedelta(seconds=info.retry_after_seconds or 0)
        recent = [at for at in times if verdict.at - timedelta(days=30) < at]
        assert len(recent) < 5
    elif isinstance(verdict, Remind | WaitForMethod):
        assert verdict.until in state.moments
    else:
        assert isinstance(verdict, Finish)
        assert state.moments[-1] <= now


def test_the_default_is_days_1_3_5_and_7() -> None:
    facts = Facts(usual=Method(CARD), tries=(Try(CARD, FAILED),))
    found, now = [], FAILED
    while isinstance(verdict := dunning.what_follows(run(), facts, now, declined()), RetryAt):
        found.append((verdict.at - FAILED) // DAY)
        now = verdict.at
    assert found == [1, 3, 5, 7]
    assert verdict == Finish()


def test_a_gateway_that_says_when_is_heeded() -> None:
    facts = Facts(usual=Method(CARD), tries=(Try(CARD, FAILED),))
    later = declined(retry_after=4 * 86_400)
    assert dunning.what_follows(run(), facts, FAILED, later) == RetryAt(FAILED + 4 * DAY, CARD)
    # Beyond the last step there is no attempt any more, only the end.
    never = declined(retry_after=30 * 86_400)
    assert dunning.what_follows(run(), facts, FAILED, never) == Remind(FAILED + DAY)


def test_another_method_is_tried_at_once_within_the_same_budget() -> None:
    tries = tuple(Try(CARD, FAILED) for _ in range(3))
    facts = Facts(usual=Method(CARD), others=(Method(OTHER),), tries=tries)
    soft = declined()
    assert dunning.what_follows(run(), facts, FAILED, soft) == TryNow(OTHER)
    few = run(policy=replace(DEFAULT, attempts_max=3))
    assert dunning.what_follows(few, facts, FAILED, soft) == Remind(FAILED + DAY)
    tried = replace(facts, tries=(*tries, Try(OTHER, FAILED)))
    assert dunning.what_follows(run(), tried, FAILED, soft) == RetryAt(FAILED + DAY, CARD)


def test_a_method_that_changed_is_no_longer_blocked() -> None:
    facts = Facts(usual=Method(CARD), tries=(Try(CARD, FAILED),))
    changed = run(blocked_method_id=CARD, changed_method_id=CARD, method_changed_at=FAILED + DAY)
    assert dunning.what_follows(changed, facts, FAILED + DAY) == TryNow(CARD)


@pytest.mark.parametrize(
    ("category", "advice", "blocks", "refuses"),
    [
        (DeclineCategory.SOFT, DeclineAdvice.RETRY_LATER, False, False),
        (DeclineCategory.SOFT, DeclineAdvice.DO_NOT_RETRY, True, True),
        (DeclineCategory.SOFT, DeclineAdvice.UPDATE_PAYMENT_METHOD, True, True),
        (DeclineCategory.HARD, DeclineAdvice.RETRY_LATER, True, True),
        (DeclineCategory.FRAUD, DeclineAdvice.DO_NOT_RETRY, True, True),
        (DeclineCategory.ACTION_REQUIRED, DeclineAdvice.UPDATE_PAYMENT_METHOD, True, False),
        (DeclineCategory.CONFIGURATION, DeclineAdvice.DO_NOT_RETRY, False, False),
    ],
)
def test_which_declines_leave_a_method_alone(
    category: DeclineCategory, advice: DeclineAdvice, blocks: bool, refuses: bool
) -> None:
    info = declined(category, advice)
    assert (dunning.blocks(info), dunning.refuses(info)) == (blocks, refuses)


def test_every_status_and_happening_has_its_answer() -> None:
    for status, happening in product(Status, Happening):
        following = dunning_run.TRANSITIONS.get((status, happening))
        if following is None:
            with pytest.raises(Conflict):
                dunning_run.after(status, happening)
        else:
            assert dunning_run.after(status, happening) is following
    over = {status for status in Status if status not in dunning_run.LIVE}
    assert not any(status in over for status, _ in dunning_run.TRANSITIONS)
