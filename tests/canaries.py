"""Card numbers and secrets that are planted, and the places where they must not be seen again."""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import asyncpg
import pytest
import structlog

from app import log

CARDS = ("4111111111111111", "4012 8888 8888 1881", "3782-822463-10005")
"""As they are entered: in one piece, and in groups."""
DIGITS = tuple(re.sub(r"\D", "", card) for card in CARDS)


def found_in(text: str, secrets: Collection[str] = ()) -> set[str]:
    """Which canaries `text` holds, cards in groups or not."""
    plain = re.sub(r"(?<=\d)[ -](?=\d)", "", text)
    whole = {card for card, digits in zip(CARDS, DIGITS, strict=True) if digits in plain}
    return whole | {secret for secret in secrets if secret in text}


@contextmanager
def listening(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What is called gives all that was logged, at debug, since it was called before."""
    before = structlog.get_config()
    structlog.reset_defaults()
    log.configure("debug", "json")
    yield lambda: "".join(capfd.readouterr())
    structlog.configure(**before)


async def everything_kept(administrator: asyncpg.Connection) -> str:
    """Every row of every table as text, and what is bytes once more as what it spells."""
    tables = await administrator.fetch(
        "SELECT format('%I.%I', n.nspname, c.relname) AS name,"
        " (SELECT array_agg(attname::text) FROM pg_attribute"
        " WHERE attrelid = c.oid AND atttypid = 'bytea'::regtype) AS bytes"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema)'"
    )
    assert len(tables) > 60
    kept: list[str] = []
    for table in tables:
        rows = await administrator.fetch(f"SELECT t::text AS row FROM {table['name']} t")
        kept += [row["row"] for row in rows]
        for column in table["bytes"] or ():
            rows = await administrator.fetch(
                f"SELECT encode(\"{column}\", 'escape') AS text FROM {table['name']}"
                f' WHERE "{column}" IS NOT NULL'
            )
            kept += [row["text"] for row in rows]
    return "\n".join(kept)
