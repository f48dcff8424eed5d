"""What becomes of a subscription, held to the laws of billing in every interval and zone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import lifecycle, signup
from app.domain.calendar import Interval, Unit
from app.domain.discount import Duration
from app.domain.errors import Conflict, InvalidRequest
from app.domain.invoice import BillingReason, LineKind
from app.domain.lifecycle import CATCH_UP_PERIODS_MAX
from app.domain.payment import Status as PaymentStatus
from app.domain.subscription import FIRST_PAYMENT_WINDOW, Status
from tests.domain.books import START, Books, arrears, fixed, ids, order, percent, price, rate

examples = settings(max_examples=150, deadline=None)
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata"),
    *("Australia/Lord_Howe", "Pacific/Chatham", "Asia/Tehran", "America/St_Johns"),
)
SPAN = int(timedelta(days=14 * 365).total_seconds())
anchors = st.integers(0, SPAN).map(lambda s: datetime(2019, 1, 1, tzinfo=UTC) + timedelta(0, s))
intervals = st.builds(Interval, st.sampled_from(Unit), st.integers(1, 5))
DAY = timedelta(days=1)


@examples
@given(anchors, intervals, st.sampled_from(ZONES), st.integers(1, 14))
def test_periods_follow_each_other_and_are_counted_from_the_anchor(anchor, interval, zone, n):
    books = Books()
    books.subscribe(order(price(interval=interval), zone=zone, start_at=anchor), anchor)
    books.catch_up(interval.after(anchor, n, zone))
    bills = books.billed()
    assert len(bills) == n + 1
    for index, bill in enumerate(bills):
        period = bill.order.period
        assert period.start == interval.after(anchor, index, zone)
        assert period.end == interval.after(anchor, index + 1, zone)
        assert bill.order.cycle_start == period.start
        # A full period costs the full price, however long it is.
        assert bill.total == 1000


@settings(max_examples=60, deadline=None)
@given(anchors, intervals, st.sampled_from(ZONES), st.lists(st.integers(0, 40), max_size=9))
def test_looking_often_or_late_makes_the_same_bills(anchor, interval, zone, pauses):
    cmd = order(price(interval=interval), arrears(700, interval=interval), zone=zone)
    often, late = Books(), Books()
    often.subscribe(cmd, anchor)
    late.subscribe(cmd, anchor)
    now = anchor
    for pause in pauses:
        now += timedelta(days=pause)
        often.catch_up(now)
    late.catch_up(now)
    assert [(b.order.period, b.total) for b in often.billed()] == [
        (b.order.period, b.total) for b in late.billed()
    ]
    assert often.ledger().get("receivable") == late.ledger().get("receivable")
    assert often.step(now) is None


@examples
@given(st.integers(0, 60), st.integers(0, 5))
def test_a_trial_bills_nothing_and_its_end_is_the_anchor(days, later):
    books = Books()
    sub = books.subscribe(order(price(setup_fee_minor=500), trial_days=days))
    end = START + days * DAY
    assert sub.anchor == end
    if days:
        assert (sub.status, sub.trial_end, books.billed()) == (Status.TRIALING, end, [])
        assert books.catch_up(end - timedelta(seconds=1)) == 0
    books.catch_up(end)
    [first] = books.billed()
    assert first.order.period.start == end
    assert first.total == 1500
    books.catch_up(end + later * 31 * DAY)
    assert [b.total for b in books.billed()[1:]] == [1000] * (len(books.billed()) - 1)


def test_a_trial_end_given_as_an_instant_is_taken_as_it_is():
    end = datetime(2026, 2, 17, 15, 30, tzinfo=UTC)
    sub = Books().subscribe(order(price(trial_days=30), trial_end=end))
    assert (sub.trial_end, sub.anchor, sub.next_action_at) == (end, end, end)
    with pytest.raises(InvalidRequest):
        Books().subscribe(order(trial_end=START))


def test_the_price_s_own_trial_counts_unless_another_is_said():
    assert Books().subscribe(order(price(trial_days=7))).trial_end == START + 7 * DAY
    assert Books().subscribe(order(price(trial_days=7), trial_days=0)).status is Status.ACTIVE


def test_a_trial_without_a_method_ends_without_an_invoice():
    books = Books(method=None)
    books.subscribe(order(trial_days=7))
    books.catch_up(START + 40 * DAY)
    assert (books.subscription.status, books.billed()) == (Status.CANCELED, [])
    assert books.subscription.ended_at == START + 7 * DAY


@pytest.mark.parametrize(
    ("discount", "totals"),
    [
        (percent(20, Duration.ONCE), [800, 1000, 1000, 1000, 1000]),
        (percent(20, Duration.REPEATING, 3), [800, 800, 800, 1000, 1000]),
        (percent(20), [800] * 5),
        (percent(100, Duration.REPEATING, 2), [0, 0, 1000, 1000, 1000]),
        (fixed(1500, Duration.ONCE), [0, 1000, 1000, 1000, 1000]),
    ],
)
@pytest.mark.parametrize("trial_days", [0, 10])
def test_a_coupon_counts_paid_periods(discount, totals, trial_days):
    books = Books()
    books.subscribe(order(discounts=(discount,), trial_days=trial_days))
    books.catch_up(START + timedelta(days=trial_days + 31 * 4))
    assert [bill.total for bill in books.billed()][: len(totals)] == totals[: len(books.billed())]
    assert len(books.billed()) >= 4


def test_a_coupon_that_is_used_up_is_gone_and_the_others_stay():
    books = Books()
    once, always = percent(50, Duration.ONCE), fixed(100)
    decision = books.record(
        signup.create(
            order(discounts=(once, always)), books.balance, books.method, START, books.new_id
        )
    )
    assert [(use.id, use.periods_remaining) for use in decision.discounts] == [(once.id, 0)]
    # Inside the period it paid for it still counts, should anything change; then it is gone.
    assert [d.id for d in books.subscription.discounts] == [once.id, always.id]
    renewed = books.step(books.subscription.period.end)
    assert [(use.id, use.is_removed) for use in renewed.discounts] == [(once.id, True)]
    assert [d.id for d in books.subscription.discounts] == [always.id]


@examples
@given(st.integers(0, 100_000), st.integers(0, 27 * 86_400), st.integers(1, 1000))
def test_arrears_bill_the_used_part_and_used_plus_unused_is_the_price(minor, seconds, quantity):
    books = Books()
    books.subscribe(order((arrears(minor), quantity)))
    assert books.billed() == []
    at = START + timedelta(seconds=seconds)
    books.record(lifecycle.cancel_now(books.account, at, books.new_id))
    whole = minor * quantity
    period = 28 * 86_400  # 31 January to 28 February
    if seconds == 0:
        assert books.billed() == []
        return
    [bill] = books.billed()
    used = (2 * whole * seconds + period) // (2 * period)  # rounded once, half away from zero
    assert bill.total == used
    assert bill.order.reason is BillingReason.SUBSCRIPTION_CANCEL
    assert bill.lines[0].charge.period.end == at


def test_arrears_that_end_with_their_period_cost_all_of_it():
    books = Books()
    books.subscribe(order(arrears(), cancel_at_period_end=True))
    books.catch_up(START + 40 * DAY)
    [bill] = books.billed()
    assert (bill.total, books.subscription.status) == (1000, Status.CANCELED)
    assert books.subscription.ended_at == datetime(2026, 2, 28, 9, tzinfo=UTC)


def test_advance_and_arrears_meet_in_one_invoice_old_period_first():
    books = Books()
    books.subscribe(order(price(1000), arrears(300)))
    books.catch_up(START + 28 * DAY)
    first, second = books.billed()
    assert [line.charge.amount for line in first.lines] == [1000]
    assert [line.charge.amount for line in second.lines] == [300, 1000]
    old, new = (line.charge.period for line in second.lines)
    assert old.end == new.start == second.order.period.start


def test_set_up_fees_come_once_one_for_each_item():
    books = Books()
    one = price(1000, setup_fee_minor=100)
    two = price(2000, setup_fee_minor=50)
    books.subscribe(order((one, 3), (two, 2), price(3000)))
    books.catch_up(START + 70 * DAY)
    kinds = [[line.charge.kind for line in bill.lines] for bill in books.billed()]
    fee, period = LineKind.SETUP_FEE, LineKind.PERIOD
    assert kinds == [[fee, fee, period, period, period], [period] * 3, [period] * 3]
    assert books.billed()[0].total == 150 + 3000 + 4000 + 3000


@examples
@given(anchors, intervals, st.integers(0, 400), st.booleans())
def test_a_cancellation_at_a_date_ends_there_however_late_it_is_seen(anchor, interval, days, late):
    at = anchor + timedelta(days=days, hours=1)
    books = Books()
    books.subscribe(order(price(interval=interval), cancel_at=at), anchor)
    books.catch_up(at + timedelta(days=900 if late else 0))
    sub = books.subscription
    assert (sub.status, sub.ended_at, sub.next_action_at) == (Status.CANCELED, at, None)
    # Every period that began before it was billed, and none after.
    assert all(bill.order.period.start < at for bill in books.billed())
    assert books.billed()[-1].order.period.end >= at


def test_canceled_at_the_end_of_a_period_no_further_one_is_billed():
    books = Books()
    sub = books.subscribe(order())
    books.record(lifecycle.cancel_at_period_end(sub, START + DAY, books.new_id))
    books.catch_up(START + 400 * DAY)
    assert len(books.billed()) == 1
    assert books.subscription.ended_at == sub.period.end
    assert books.subscription.canceled_at == START + DAY


def test_a_cancellation_can_be_taken_back_until_it_happens():
    books = Books()
    sub = books.subscribe(order())
    with pytest.raises(Conflict, match="No cancellation"):
        lifecycle.keep(sub, books.new_id)
    books.record(lifecycle.cancel_at_period_end(sub, START, books.new_id))
    decision = books.record(lifecycle.keep(books.subscription, books.new_id))
    assert decision.events[0].previous == {"cancel_at_period_end": True, "cancel_at": None}
    books.catch_up(START + 28 * DAY)
    assert len(books.billed()) == 2
    books.record(lifecycle.cancel_now(books.account, START + 28 * DAY, books.new_id))
    with pytest.raises(Conflict, match="ended already"):
        lifecycle.keep(books.subscription, books.new_id)
    with pytest.raises(Conflict, match="canceled"):
        lifecycle.cancel_now(books.account, START, books.new_id)


def test_what_waits_for_its_payment_expires_and_gives_the_credit_back():
    books = Books(credit=300)
    sub = books.subscribe(order(wait_for_payment=True))
    assert (sub.status, sub.next_action_at) == (
        Status.INCOMPLETE,
        START + FIRST_PAYMENT_WINDOW,
    )
    assert books.credit == 0
    books.catch_up(START + DAY)
    assert (books.subscription.status, books.credit) == (Status.INCOMPLETE_EXPIRED, 300)
    assert books.ledger() == {}


@pytest.mark.parametrize(
    ("status", "ends"),
    [
        (PaymentStatus.PROCESSING, False),
        (PaymentStatus.UNKNOWN, False),
        (PaymentStatus.REQUIRES_ACTION, False),
        (PaymentStatus.SCHEDULED, True),
        (PaymentStatus.REQUIRES_PAYMENT_METHOD, True),
    ],
)
def test_while_its_first_payment_may_come_it_does_not_expire(status, ends):
    books = Books()
    sub = books.subscribe(order(wait_for_payment=True))
    [payment] = books.payments.values()
    books.payments[payment.id] = replace(payment, status=status)
    books.step(sub.expires_at)
    assert (books.subscription.status is Status.INCOMPLETE_EXPIRED) is ends
    if not ends:
        grace = {PaymentStatus.REQUIRES_ACTION: lifecycle.GIVING_UP_GRACE}
        later = sub.expires_at + grace.get(status, lifecycle.IN_FLIGHT_GRACE)
        assert books.subscription.next_action_at == later


def test_the_first_bill_is_a_start_and_the_others_are_renewals():
    books = Books()
    books.subscribe(order(trial_days=3))
    books.catch_up(START + timedelta(days=70))
    create, cycle = BillingReason.SUBSCRIPTION_CREATE, BillingReason.SUBSCRIPTION_CYCLE
    assert [bill.order.reason for bill in books.billed()] == [create, cycle, cycle]
    told = [name for name in books.told if name.startswith("subscription")]
    renewed = ["subscription.renewed"] * 2
    assert told == ["subscription.created", "subscription.activated", *renewed]


def test_an_end_remembers_when_it_was_asked_for():
    books = Books()
    sub = books.subscribe(order())
    asked = START + DAY
    books.record(lifecycle.cancel_at_period_end(sub, asked, books.new_id))
    books.catch_up(START + 40 * DAY)
    assert books.subscription.canceled_at == asked
    other = Books()
    other.subscribe(order())
    other.record(lifecycle.cancel_now(other.account, asked, other.new_id))
    assert (other.subscription.canceled_at, other.subscription.ended_at) == (asked, asked)


def test_what_credit_pays_whole_does_not_wait():
    books = Books(credit=1000)
    assert books.subscribe(order(wait_for_payment=True)).status is Status.ACTIVE
    assert books.payments == {}


def test_an_edit_says_what_was_before_and_nothing_else():
    books = Books()
    sub = books.subscribe(order())
    decision = lifecycle.edit(
        sub, {"metadata": {"a": "b"}, "cancel_at_period_end": True}, START + DAY, books.new_id
    )
    assert decision.events[0].previous == {"metadata": {}, "cancel_at_period_end": False}
    edited = decision.subscriptions[0]
    assert (edited.canceled_at, edited.version) == (START + DAY, sub.version + 1)
    back = lifecycle.edit(
        edited, {"metadata": {}, "cancel_at_period_end": False}, START + 2 * DAY, books.new_id
    )
    assert back.subscriptions[0].canceled_at is None


@pytest.mark.parametrize("behind", [CATCH_UP_PERIODS_MAX, CATCH_UP_PERIODS_MAX + 1])
def test_too_far_behind_is_a_fixed_number_of_periods(behind):
    books = Books()
    sub = books.subscribe(order(price(interval=Interval(Unit.DAY))))
    now = START + behind * DAY
    assert lifecycle.is_hopelessly_behind(sub, now) is (behind > CATCH_UP_PERIODS_MAX)
    assert not lifecycle.is_hopelessly_behind(sub, START)
    monthly = Books().subscribe(order())
    assert not lifecycle.is_hopelessly_behind(monthly, START + timedelta(days=31 * 400 - 500))


def test_a_long_trial_is_not_far_behind():
    sub = Books().subscribe(order(trial_end=START + timedelta(seconds=1)))
    assert not lifecycle.is_hopelessly_behind(sub, START + timedelta(days=900))


def test_an_adopted_subscription_bills_from_its_next_boundary_on_the_same_anchor():
    books = Books()
    begun = datetime(2024, 5, 31, 9, tzinfo=UTC)
    books.record(signup.adopt(order(start_at=begun), START + DAY, books.new_id))
    sub = books.subscription
    assert (sub.status, sub.period.start) == (Status.ACTIVE, START)
    books.catch_up(datetime(2026, 3, 31, 9, tzinfo=UTC))
    starts = [bill.order.period.start.date().isoformat() for bill in books.billed()]
    assert starts == ["2026-02-28", "2026-03-31"]


def test_the_same_facts_make_the_same_decision():
    cmd = order((price(), 3), arrears(), discounts=(percent(10),), rates=(rate(190_000),))
    balance = Books(credit=77).balance
    one, two = (signup.create(cmd, balance, None, START, ids()) for _ in range(2))
    assert one == two


def test_a_step_is_taken_only_when_it_is_due():
    books = Books()
    books.subscribe(order())
    with pytest.raises(AssertionError, match="nothing is due"):
        lifecycle.step(books.account, START + DAY, books.new_id)


@pytest.mark.parametrize(
    ("cmd", "why"),
    [
        (lambda: order(items=[]), "1 to 20 items"),
        (lambda: order(*[price()] * 21), "1 to 20 items"),
        (lambda: order(price(), price(interval=Interval(Unit.YEAR))), "same currency"),
        (lambda: order(price(), price(currency="USD")), "same currency"),
        (lambda: order(cancel_at=START), "after the start"),
        (lambda: order(start_at=datetime(1990, 1, 1, tzinfo=UTC)), "more than 400 periods back"),
        (lambda: order(start_at=START + DAY, cancel_at=START + DAY), "after the start"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(cmd, why):
    with pytest.raises(InvalidRequest, match=why):
        Books().subscribe(cmd())


def test_without_a_method_a_renewal_falls_behind_at_once():
    books = Books()
    books.subscribe(order())
    books.method = None
    books.catch_up(START + 28 * DAY)
    assert books.subscription.status is Status.PAST_DUE
    books.catch_up(START + 59 * DAY)
    assert books.told.count("subscription.past_due") == 1
