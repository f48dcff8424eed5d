"""Explanations end where the line does: whatever was billed, the steps lead to it, to the cent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.explain import explain
from tests.domain.lives import Life, facts

SEEDS = st.integers(0, 2**48)
LIVES_OF_CAMPAIGN = 25_000
"""About nine lines are billed in each."""


def lived(seed: int, steps: int = 5) -> Life:
    life = Life.begin(seed)
    for _ in range(steps):
        life.go_on()
        life.act()
    return life


def explained(seed: int) -> int:
    """Everything that a life was billed, explained; how many lines that is."""
    lines = 0
    for fact in facts(lived(seed)):
        found, line = explain(fact), fact.line
        assert found.differences == (), found
        assert found.amount == line.charge.amount
        assert found.discount_amount == line.discount_amount
        assert found.tax_amount == line.tax_amount
        assert found.total == line.total
        assert found.steps[-1].amount == line.total
        assert all(step.text for step in found.steps)
        lines += 1
    return lines


@given(SEEDS)
def test_every_line_of_every_life_is_explained_to_the_cent(seed: int) -> None:
    explained(seed)


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
def test_two_hundred_thousand_lines_are_explained_to_the_cent() -> None:
    assert sum(explained(seed) for seed in range(LIVES_OF_CAMPAIGN)) >= 200_000
