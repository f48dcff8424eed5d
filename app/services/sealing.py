"""Sealing secrets anew: after a new key joined the ring, before the oldest may leave it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.db import sealed
from app.db.base import Row
from app.db.sealed import Sealed
from app.domain.errors import Conflict
from app.runtime import Runtime
from app.secrets import NoKeys, Place, Unreadable

CHUNK: Final = 200
"""Rows sealed anew in one transaction: their locks are held for milliseconds."""
CHUNKS_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation came to: texts sealed anew, those that were already, and those that do not
    open, as (field, merchant, row).
    """

    renewed: int = 0
    current: int = 0
    unreadable: tuple[tuple[str, UUID, UUID], ...] = ()

    @property
    def looked(self) -> int:
        return self.renewed + self.current + len(self.unreadable)

    def __add__(self, other: "Rotated") -> "Rotated":
        return Rotated(
            self.renewed + other.renewed,
            self.current + other.current,
            self.unreadable + other.unreadable,
        )


def seal(rt: Runtime, secret: str, place: Place) -> str:
    """`secret`, as it may be kept at `place`. Raises Conflict where the deployment has no keys."""
    try:
        return rt.secrets.seal(secret, place)
    except NoKeys:
        raise Conflict(
            "This deployment keeps no secrets: it has no key to seal them with. Whoever runs it "
            "sets PERENNIAL_SECRET_KEYS.",
            code="secrets_off",
        ) from None


async def count(rt: Runtime) -> int:
    """How many sealed texts there are."""
    async with rt.db.begin_system() as tx:
        return sum([await sealed.count(tx, column) for column in sealed.COLUMNS])


async def rotate(rt: Runtime, told: Callable[[Rotated], None] = lambda _: None) -> Rotated:
    """Seal every secret with the newest key; `told` hears how far it is after each chunk.

    May be stopped and run again at any time. Raises Conflict where there are no keys.
    """
    if not rt.secrets.is_ready:
        raise Conflict("There is no key to seal with.", code="secrets_off")
    total = Rotated()
    for column in sealed.COLUMNS:
        after = sealed.START
        for _ in range(CHUNKS_MAX):
            chunk, last = await _chunk(rt, column, after)
            if last is None:
                break
            after = last
            total += chunk
            told(total)
    return total


async def _chunk(
    rt: Runtime, column: Sealed, after: tuple[UUID, UUID]
) -> tuple[Rotated, tuple[UUID, UUID] | None]:
    async with rt.db.begin_system() as tx:
        rows = await sealed.lock(tx, column, after, CHUNK)
        old = [row for row in rows if not rt.secrets.is_newest(row["text"])]
        renewed, unreadable = [], []
        for row in old:
            text = _anew(rt, column, row)
            if text is None:
                unreadable.append((column.field, row["merchant_id"], row["id"]))
            else:
                renewed.append((row["merchant_id"], row["id"], text))
        await sealed.replace(tx, column, renewed)
    done = Rotated(len(renewed), len(rows) - len(old), tuple(unreadable))
    return done, (rows[-1]["merchant_id"], rows[-1]["id"]) if rows else None


def _anew(rt: Runtime, column: Sealed, row: Row) -> str | None:
    place = column.place(row)
    try:
        return rt.secrets.seal(rt.secrets.open(row["text"], place), place)
    except Unreadable:
        return None
