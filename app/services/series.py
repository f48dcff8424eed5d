"""Numbering series through the API: what numbers look like, and from where they run on."""

from dataclasses import dataclass
from typing import Any, Final

from app.db import series as rows
from app.db.base import Row
from app.db.decisions import DEFAULT_PREFIX, PREFIXES
from app.domain.errors import Conflict
from app.runtime import Runtime
from app.services import deeds
from app.services.caller import Caller

NUMBER_MAX: Final = 10**12
DEFAULTS: Final = ("default", *PREFIXES)


@dataclass(frozen=True, slots=True)
class UpdateSeries:
    """What of a series is to be otherwise; None stays. The next number only grows."""

    series: str
    prefix: str | None = None
    digits: int | None = None
    next_number: int | None = None


def shown(row: Row | dict[str, Any]) -> dict[str, Any]:
    """A series as callers see it."""
    return {"object": "invoice_series", **dict(row)}


async def every(rt: Runtime, caller: Caller) -> list[dict[str, Any]]:
    """The merchant's series; those that nothing was numbered by yet as they will begin."""
    async with rt.db.read(caller.merchant_id) as reader:
        found = {row["series"]: row for row in await rows.every(reader, caller.merchant_id)}
    fresh = {
        name: {
            "series": name,
            "prefix": PREFIXES.get(name, DEFAULT_PREFIX),
            "digits": 6,
            "first_number": 1,
            "next_number": 1,
        }
        for name in DEFAULTS
        if name not in found
    }
    return [shown(row) for _, row in sorted((found | fresh).items())]


async def update(rt: Runtime, caller: Caller, cmd: UpdateSeries) -> dict[str, Any]:
    """Change a series, or begin a new one. Raises Conflict where a number would come twice."""
    prefix = cmd.prefix or PREFIXES.get(cmd.series, DEFAULT_PREFIX)
    async with rt.db.begin(caller.merchant_id) as tx:
        known = await rows.lock(tx, caller.merchant_id, cmd.series, prefix)
        following = cmd.next_number or known["next_number"]
        if following < known["next_number"]:
            raise Conflict(
                f"The next number is {known['next_number']}; it only grows.",
                code="number_was_given",
            )
        row = await rows.change(
            tx,
            caller.merchant_id,
            cmd.series,
            cmd.prefix or known["prefix"],
            cmd.digits or known["digits"],
            following,
        )
        now = rt.clock.now()
        detail = {name: row[name] for name in ("series", "prefix", "digits", "next_number")}
        await deeds.note(tx, caller, "invoice_series.updated", caller.merchant_id, now, **detail)
    return shown(row)
