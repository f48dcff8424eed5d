"""Tax rates: what each jurisdiction takes, of what, and from when until when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import tax_rates as rows
from app.db import views
from app.db.base import Row
from app.db.tax_rates import TABLE_RATES_MAX, NewTaxRate
from app.db.views import TAX_RATE
from app.domain import decimals, eu_vat_rates, places
from app.domain.errors import Conflict, InvalidRequest, Problem
from app.domain.taxation import Level
from app.ids import new_id
from app.runtime import Runtime
from app.services import answers, lookup
from app.services.caller import Caller
from app.services.customers import check_version
from app.services.metadata import merged

PERCENT_PLACES: Final = 4
"""A percentage with four decimals counts millionths: 12.5 % is 125,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTaxRate:
    """One tax of one jurisdiction; the percentage as decimal text."""

    display_name: str
    percentage: str
    inclusive: bool = False
    type: str = "vat"
    country: str | None = None
    region: str | None = None
    jurisdiction: str | None = None
    level: Level | None = None
    """None: that of the region where there is one, else the country's."""
    priority: int = 0
    postal_codes: tuple[str, ...] = ()
    tax_codes: tuple[str, ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Update:
    """Fields to change; `metadata` is merged."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreateTaxRate) -> Row:
    """Create a tax rate. Raises InvalidRequest with every fault of it, Conflict beyond the most."""
    ppm = decimals.parse(cmd.percentage, PERCENT_PLACES, param="percentage")
    if problems := [*_problems(cmd, ppm)]:
        raise InvalidRequest.of(problems)
    rate = NewTaxRate(
        id=new_id(),
        display_name=cmd.display_name,
        rate_ppm=ppm,
        inclusive=cmd.inclusive,
        type=cmd.type,
        country=cmd.country,
        region=cmd.region,
        jurisdiction=cmd.jurisdiction,
        level=cmd.level or (Level.REGION if cmd.region else Level.COUNTRY),
        priority=cmd.priority,
        postal_codes=[places.postal(code) for code in cmd.postal_codes],
        tax_codes=cmd.tax_codes,
        valid_from=cmd.valid_from,
        valid_until=cmd.valid_until,
        metadata=cmd.metadata,
    )
    async with rt.db.begin(caller.merchant_id) as tx:
        if await rows.count(tx, caller.merchant_id) >= TABLE_RATES_MAX:
            raise Conflict(
                f"There are {TABLE_RATES_MAX} active tax rates; end some first.",
                code="too_many_tax_rates",
            )
        await rows.insert(tx, caller.merchant_id, rate, rt.clock.now())
        return await answers.present(tx, caller, TAX_RATE, rate.id)


async def update(rt: Runtime, caller: Caller, cmd: Update) -> Row:
    """Rename a tax rate, end it or stop offering it. Raises NotFound, Stale, InvalidRequest."""
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await rows.lock(tx, caller.merchant_id, cmd.id)
        if before is None:
            raise lookup.missing(TAX_RATE)
        check_version(before, cmd.expected_version)
        fields = changed(before, cmd.changes)
        await rows.update(tx, caller.merchant_id, cmd.id, fields)
        return await answers.present(tx, caller, TAX_RATE, cmd.id)


async def seed_eu(rt: Runtime, caller: Caller) -> list[Row]:
    """Create the EU's standard VAT rates for each member state that has no general rate yet."""
    async with rt.db.begin(caller.merchant_id) as tx:
        known = await rows.countries_with_general_rates(tx, caller.merchant_id)
        new = [
            NewTaxRate(id=new_id(), display_name="VAT", rate_ppm=ppm, country=country)
            for country, ppm in eu_vat_rates.STANDARD_PPM.items()
            if country not in known
        ]
        await rows.insert_general(tx, caller.merchant_id, new, rt.clock.now())
        made = await views.some(tx, TAX_RATE, caller.merchant_id, [rate.id for rate in new])
    return sorted(made, key=lambda row: str(row["country"]))


def changed(before: Row, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields after `changes`. Raises InvalidRequest where the validity would end too early."""
    fields: dict[str, Any] = dict(before) | dict(changes)
    fields["metadata"] = merged(orjson.loads(before["metadata"]), changes.get("metadata") or {})
    problems = [*places.problems_of_validity(fields["valid_from"], fields["valid_until"])]
    if problems:
        raise InvalidRequest.of(problems)
    return fields


def _problems(cmd: CreateTaxRate, ppm: int) -> list[Problem]:
    found = [
        *places.problems(cmd.country, cmd.region),
        *places.problems_of_validity(cmd.valid_from, cmd.valid_until),
    ]
    if not 0 <= ppm <= 100 * 10**PERCENT_PLACES:
        found.append(Problem("A tax takes from 0 to 100 percent.", "percentage"))
    if cmd.level not in {None, Level.COUNTRY} and cmd.region is None:
        found.append(Problem("Say in which region this is.", "region"))
    if cmd.postal_codes and cmd.country is None:
        found.append(Problem("Postal codes are those of a country.", "country"))
    return found
