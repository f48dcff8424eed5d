"""What tax would be charged: the same rules and the same arithmetic as on invoices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.db import tax_engine_rates, taxes
from app.db.base import Tx
from app.db.tax_engine_rates import Asking
from app.db.taxes import AnyTaxation, Numbers
from app.domain.errors import InvalidRequest
from app.domain.places import locate
from app.domain.pricing import TaxBehaviour
from app.domain.tax import Taxes, TaxRounding, with_behaviour
from app.domain.tax import taxes as reckon
from app.domain.tax_id import USABLE
from app.domain.taxation import Resolved, TaxExempt
from app.runtime import Runtime
from app.services.caller import Caller
from app.services.subscriptions import now_of_customer
from app.taxes import numbers


@dataclass(frozen=True, slots=True)
class LineAsked:
    """An amount in minor units, after discounts, and what it is for."""

    amount: int
    tax_code: str | None = None
    tax_behaviour: TaxBehaviour | None = None


@dataclass(frozen=True, slots=True)
class BuyerAsked:
    """A buyer who is no customer yet."""

    country: str
    state: str | None = None
    postal_code: str | None = None
    tax_exempt: TaxExempt = TaxExempt.NONE
    tax_ids: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """The numbers of a buyer that passed their check: their countries, and the numbers."""

    countries: Numbers
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CalculateTax:
    """Lines for a customer, or for whoever `buyer` describes, on the day of `at` (None: now)."""

    lines: Sequence[LineAsked]
    customer_id: UUID | None = None
    buyer: BuyerAsked | None = None
    at: datetime | None = None
    rounding: TaxRounding = TaxRounding.PER_INVOICE


@dataclass(frozen=True, slots=True)
class Calculated:
    """Each line's treatment, and the taxes of all together."""

    at: datetime
    resolved: tuple[Resolved, ...]
    taxes: Taxes


async def calculate(rt: Runtime, caller: Caller, cmd: CalculateTax) -> Calculated:
    """What the lines would be taxed; nothing is stored. Raises InvalidRequest."""
    async with rt.db.begin(caller.merchant_id) as tx:
        at = cmd.at or rt.clock.now()
        if cmd.customer_id is not None:
            taxation = await _of_customer(tx, caller.merchant_id, cmd.customer_id)
            at = cmd.at or await now_of_customer(rt, tx, cmd.customer_id)
        else:
            assert cmd.buyer is not None
            taxation = await _of_buyer(tx, caller.merchant_id, cmd.buyer)
    resolved = tuple(taxation.resolved(line.tax_code, at) for line in cmd.lines)
    rates = [
        with_behaviour(one.rates, line.tax_behaviour)
        for one, line in zip(resolved, cmd.lines, strict=True)
    ]
    return Calculated(at, resolved, reckon([ln.amount for ln in cmd.lines], rates, cmd.rounding))


async def _of_customer(tx: Tx, merchant_id: UUID, customer_id: UUID) -> AnyTaxation:
    key = merchant_id, customer_id
    found = (await taxes.load(tx, [key])).get(key)
    if found is None:
        raise InvalidRequest(
            "There is no such customer.", code="reference_not_found", param="customer_id"
        )
    return found


async def _of_buyer(tx: Tx, merchant_id: UUID, asked: BuyerAsked) -> AnyTaxation:
    place = locate(asked.country, asked.state, asked.postal_code)
    held = numbers_of(asked)
    kept = await taxes.books(tx, [merchant_id], {place.country})
    table = kept.taxation(merchant_id, place, asked.tax_exempt, held.countries)
    policy = kept.engines.get(merchant_id)
    if policy is None:
        return table
    asking = Asking(merchant_id, table, place, policy, held.values)
    [taxation] = await tax_engine_rates.taxations(tx, [asking])
    return taxation


def numbers_of(asked: BuyerAsked) -> Held:
    """The numbers of whoever is no customer yet. Raises InvalidRequest (`tax_id_invalid`)."""
    checked = [numbers.check(kind, value) for kind, value in asked.tax_ids]
    usable = [one for one in checked if one.status in USABLE]
    return Held(
        taxes.countries_of((one.type, one.country) for one in usable if one.country),
        tuple(sorted((one.type, one.normalized) for one in usable)),
    )
