"""The shop in memory: forks do not touch each other, previews come true, books balance, and every
change of a subscription is told with the whole of it.
"""

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.decision import Decision
from app.domain.invoice import Invoice, Status
from app.domain.ledger import trial_balance
from app.domain.preview import preview
from app.domain.subscription import Subscription
from tests.domain.lives import Life, amounts

SEEDS = st.integers(0, 2**48)
LIVES_OF_CAMPAIGN = 30_000
"""About seven previews come true in each."""


def untouched(life: Life) -> tuple[Any, ...]:
    shop = life.shop
    return deepcopy(
        (
            shop.subscriptions,
            shop.credit,
            shop.charged,
            shop.pending,
            shop.invoices,
            shop.payments,
            len(shop.entries),
            len(shop.told),
            shop.used,
        )
    )


def billed(invoice: Invoice, *, final: bool) -> tuple[Any, ...]:
    """What is billed; credit is applied, and days are counted, when it becomes final."""
    whole = amounts(invoice)
    return whole if final else (*whole[:5], whole[-1])


def check_a_life(seed: int, lead: timedelta | None = None) -> int:
    """Everything that is asked of one life; how many previews came true."""
    life, previewed = Life.begin(seed, lead), 0
    for _ in range(4):
        life.go_on()
        decision = life.wish()
        fork = life.shop.fork()
        before = untouched(life)
        known = set(life.shop.invoices)
        said = preview(fork, decision, life.about, life.now)
        assert untouched(life) == before, "a preview changed what it looked at"
        if decision is not None:
            life.shop.record(decision, life.now)
            life.shop.run(life.now, 1_000)
        made = [invoice for key, invoice in life.shop.invoices.items() if key not in known]
        finals = [invoice.status is not Status.DRAFT for invoice in made]
        assert [
            billed(i, final=is_final) for i, is_final in zip(said.invoices, finals, strict=True)
        ] == [billed(i, final=is_final) for i, is_final in zip(made, finals, strict=True)]
        previewed += 1
        if said.next is not None and said.next.finalized_at is not None:
            known |= set(life.shop.invoices)
            life.now = max(life.now, said.next.finalized_at)
            life.shop.run(life.now, 1_000)
            later = [life.shop.invoices[key] for key in life.shop.invoices if key not in known]
            assert amounts(said.next) in [amounts(invoice) for invoice in later]
            previewed += 1
    sums = trial_balance(life.shop.entries)
    assert sum(sums.values()) == 0
    return previewed


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_previews_come_true_and_touch_nothing(seed: int) -> None:
    check_a_life(seed)


@given(SEEDS)
@example(209298537517302)  # a change is planned for a day on which the debit is announced already
@settings(max_examples=10, deadline=None)
def test_previews_come_true_where_debits_are_announced(seed: int) -> None:
    check_a_life(seed, timedelta(days=2, hours=2))


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
def test_two_hundred_thousand_previews_come_true() -> None:
    previewed = sum(check_a_life(seed) for seed in range(LIVES_OF_CAMPAIGN))
    assert previewed >= 200_000


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_every_change_of_a_subscription_is_told_with_the_whole_of_it(seed: int) -> None:
    """What `as_of` answers rests on this."""
    life = Life.begin(seed)
    shop, record = life.shop, type(life.shop).record

    def watched(decision: Decision, at: Any) -> None:
        for sub in decision.subscriptions:
            before = shop.subscriptions.get(sub.id)
            if before is None or _told_of(before) != _told_of(sub):
                subjects = [event.subject for event in decision.events]
                assert any(subject == sub for subject in subjects), _told_of(sub)
        record(shop, decision, at)

    for _ in range(5):
        life.go_on()
        decision = life.wish()
        if decision is not None:
            watched(decision, life.now)
        for _ in range(50):
            at = shop.next_at()
            if at is None or at > life.now:
                break
            told = len(shop.told)
            before = dict(shop.subscriptions)
            shop.step()
            for key, sub in shop.subscriptions.items():
                if _told_of(before[key]) != _told_of(sub):
                    subjects = [each.event.subject for each in shop.told[told:]]
                    assert any(isinstance(s, Subscription) and s.id == key for s in subjects)


def _told_of(sub: Subscription) -> dict[str, object]:
    return {name: value for name, value in sub.snapshot().items() if name != "version"}
