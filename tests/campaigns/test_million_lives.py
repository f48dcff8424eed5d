"""A million lives of subscriptions, across processes: nothing is created, nothing is lost.

`CONSERVATION_LIVES` says how many, `CONSERVATION_FROM` from which seed on, `CONSERVATION_PROCESSES`
on how many processors; a life that fails tells its seed and its story.
"""

# ruff: noqa: T201  a campaign says how far it is

import os
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import pytest

from tests.domain.whole_lives import live

LIVES: Final = int(os.environ.get("CONSERVATION_LIVES", "1000000"))
FIRST: Final = int(os.environ.get("CONSERVATION_FROM", "100000000"))
PROCESSES: Final = int(os.environ.get("CONSERVATION_PROCESSES", "1"))
BLOCK: Final = 2_000
TOLD_EVERY: Final = 50_000
STORIES_MAX: Final = 3


def block(first: int) -> tuple[int, int, list[str]]:
    """One block of lives: how many, how many things were done in them, and what went wrong."""
    acts, wrong = 0, []
    for seed in range(first, first + BLOCK):
        try:
            acts += len(live(seed).done)
        except AssertionError as error:
            wrong.append(str(error))
    return BLOCK, acts, wrong


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
def test_a_million_lives_are_charged_what_was_used(capsys: pytest.CaptureFixture[str]) -> None:
    lives, acts, began = 0, 0, time.monotonic()
    wrong: list[str] = []
    with ProcessPoolExecutor(PROCESSES) as pool:
        for counted, done, stories in pool.map(block, range(FIRST, FIRST + LIVES, BLOCK)):
            lives, acts, wrong = lives + counted, acts + done, wrong + stories
            if stories:
                with capsys.disabled():
                    print("", *stories, sep="\n")
            if lives % TOLD_EVERY < BLOCK:
                with capsys.disabled():
                    print(f"\n{lives:,} lives, {acts:,} acts, {len(wrong)} wrong", end="")
    with capsys.disabled():
        seconds = time.monotonic() - began
        print(f"\nconservation: {lives:,} lives with {acts:,} acts in {seconds:.0f} s")
    assert not wrong, f"{len(wrong)} lives went wrong:\n" + "\n".join(wrong[:STORIES_MAX])
