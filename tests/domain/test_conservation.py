"""Whole lives, by chance: after everything that happens the books hold, and what was charged is
what a second, simple reckoning (`tests/fair.py`) says it should have been.

A sample here; `make campaign` lives a million of them.
"""

import pytest

from tests.domain.whole_lives import live


@pytest.mark.parametrize("block", range(8))
def test_whatever_happens_in_a_life_it_is_charged_what_was_used(block: int) -> None:
    for seed in range(block * 150, (block + 1) * 150):
        live(seed)


@pytest.mark.parametrize("seed", range(12))
def test_a_life_full_of_changes_is_charged_what_was_used(seed: int) -> None:
    live(10_000_000 + seed, acts=40)
