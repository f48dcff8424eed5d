"""Where a merchant owes tax: its registrations, and where it is at home."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from app.db import tax_registrations as rows
from app.db import views
from app.db.base import Row
from app.db.tax_registrations import NewTaxRegistration
from app.db.views import TAX_REGISTRATION
from app.domain import places
from app.domain.errors import InvalidRequest, Problem
from app.domain.taxation import Scheme
from app.ids import new_id
from app.runtime import Runtime
from app.services import answers, lookup
from app.services.caller import Caller
from app.services.customers import check_version
from app.services.tax_rates import Update, changed


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTaxRegistration:
    """Where the merchant is registered, or says that it is not."""

    country: str
    region: str | None = None
    number: str | None = None
    scheme: Scheme = Scheme.STANDARD
    home: bool = False
    valid_from: date | None = None
    valid_until: date | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


async def create(rt: Runtime, caller: Caller, cmd: CreateTaxRegistration) -> Row:
    """Create a registration. Raises InvalidRequest with every fault of it."""
    if problems := [*_problems(cmd)]:
        raise InvalidRequest.of(problems)
    new = NewTaxRegistration(
        id=new_id(),
        country=cmd.country,
        region=cmd.region,
        number=cmd.number,
        scheme=cmd.scheme,
        home=cmd.home,
        valid_from=cmd.valid_from,
        valid_until=cmd.valid_until,
        metadata=cmd.metadata,
    )
    async with rt.db.begin(caller.merchant_id) as tx:
        await rows.insert(tx, caller.merchant_id, new, rt.clock.now())
        return await answers.present(tx, caller, TAX_REGISTRATION, new.id)


async def update(rt: Runtime, caller: Caller, cmd: Update) -> Row:
    """Change a registration's number or end it. Raises NotFound, Stale, InvalidRequest."""
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await rows.lock(tx, caller.merchant_id, cmd.id)
        if before is None:
            raise lookup.missing(TAX_REGISTRATION)
        check_version(before, cmd.expected_version)
        await rows.update(tx, caller.merchant_id, cmd.id, changed(before, cmd.changes))
        return await answers.present(tx, caller, TAX_REGISTRATION, cmd.id)


async def delete(rt: Runtime, caller: Caller, id: UUID, expected_version: int | None = None) -> Row:
    """Take out a registration that was a mistake; one that is over is ended instead."""
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await rows.lock(tx, caller.merchant_id, id)
        if before is None:
            raise lookup.missing(TAX_REGISTRATION)
        check_version(before, expected_version)
        row = await views.one(tx, TAX_REGISTRATION, caller.merchant_id, id)
        assert row is not None
        await rows.delete(tx, caller.merchant_id, id)
    return row


def _problems(cmd: CreateTaxRegistration) -> list[Problem]:
    found = [
        *places.problems(cmd.country, cmd.region),
        *places.problems_of_validity(cmd.valid_from, cmd.valid_until),
    ]
    state = cmd.country in places.MEMBER_STATES
    if cmd.scheme is Scheme.OSS and not state:
        found.append(Problem("The one-stop shop is run by the EU's member states.", "country"))
    if cmd.scheme is Scheme.OSS and cmd.home:
        found.append(
            Problem("Say home on the registration of where the business is established.", "home")
        )
    if state and cmd.region is not None and cmd.region not in places.OUTSIDE_REGIONS:
        found.append(Problem("A member state registers for all of its VAT area.", "region"))
    return found
