"""/v1/tax: what would be charged, and a table of rates to begin with."""

from typing import Annotated, Any, Final, Literal, Self

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import Input
from app.api.endpoint import Asked, Endpoint
from app.api.tax_ids import TaxIdType, TaxIdValue
from app.api.tax_objects import CountryCode, TaxCalculation, TaxCode, TaxSeed
from app.db.views import TAX_RATE
from app.domain import decimals
from app.domain.eu_vat_rates import AS_OF
from app.domain.pricing import TaxBehaviour
from app.domain.tax import TaxPart, TaxRounding
from app.domain.taxation import Resolved, TaxExempt
from app.ids import show
from app.services import tax, tax_rates
from app.services.public import PERCENT_PLACES, shown
from app.services.tax import BuyerAsked, Calculated, CalculateTax, LineAsked

router = APIRouter(prefix="/v1/tax", tags=["tax"], route_class=Endpoint)

LINES_MAX: Final = 100
TAX_IDS_MAX: Final = 20
TOTAL_LINE_MAX: Final = 9_999_999_999_999
"""In minor units: a hundred of them, taxed in full, are still exact in every client."""


class TaxIdInput(Input):
    type: TaxIdType
    value: TaxIdValue


class BuyerInput(Input):
    """Whoever is no customer yet."""

    country: CountryCode
    state: Annotated[str, Field(max_length=200)] | None = None
    postal_code: Annotated[str, Field(max_length=20)] | None = None
    tax_exempt: TaxExempt = TaxExempt.NONE
    tax_ids: Annotated[list[TaxIdInput], Field(max_length=TAX_IDS_MAX)] = Field(
        default_factory=list
    )

    def asked(self) -> BuyerAsked:
        numbers = [(one.type, one.value) for one in self.tax_ids]
        return BuyerAsked(self.country, self.state, self.postal_code, self.tax_exempt, numbers)


class TaxLineInput(Input):
    amount: Annotated[
        int,
        Field(
            strict=True,
            ge=-TOTAL_LINE_MAX,
            le=TOTAL_LINE_MAX,
            description="In minor units, after discounts; below zero: a credit.",
            examples=[1000],
        ),
    ]
    tax_code: TaxCode | None = None
    tax_behaviour: Annotated[
        TaxBehaviour | None,
        Field(description="Whether tax is inside the amount. Without it, as each rate says."),
    ] = None


class TaxCalculate(Input):
    """For a customer or for a buyer."""

    customer_id: c.CustomerRef | None = None
    buyer: BuyerInput | None = None
    currency: c.Currency
    lines: Annotated[list[TaxLineInput], Field(min_length=1, max_length=LINES_MAX)]
    at: Annotated[c.Instant | None, Field(description="The tax point. Without it: now.")] = None
    rounding: TaxRounding = TaxRounding.PER_INVOICE

    @model_validator(mode="after")
    def _one_party(self) -> Self:
        if (self.customer_id is None) == (self.buyer is None):
            raise ValueError("Name a customer_id or describe a buyer.")
        return self

    def command(self) -> CalculateTax:
        lines = [LineAsked(one.amount, one.tax_code, one.tax_behaviour) for one in self.lines]
        buyer = None if self.buyer is None else self.buyer.asked()
        return CalculateTax(lines, self.customer_id, buyer, self.at, self.rounding)


class TaxSeedCreate(Input):
    set: Literal["eu_standard"] = "eu_standard"


@router.post("/calculate", operation_id="calculate_tax", response_model=TaxCalculation)
async def calculate_tax(ask: Asked, body: TaxCalculate) -> Response:
    """What tax lines would carry, and why. Nothing is stored."""
    found = await tax.calculate(ask.rt, ask.caller, body.command())
    by_line: list[list[TaxPart]] = [[] for _ in body.lines]
    for part in found.taxes.parts:
        by_line[part.line].append(part)
    lines = [
        _line(line, net, one, parts)
        for line, net, one, parts in zip(
            body.lines, found.taxes.nets, found.resolved, by_line, strict=True
        )
    ]
    return answer(_calculation(body.currency, found, lines))


@router.post("/seed", operation_id="seed_tax_rates", status_code=201, response_model=TaxSeed)
async def seed_tax_rates(ask: Asked, body: TaxSeedCreate) -> Response:
    """Create the standard VAT rate of each EU member state that has no general rate yet."""
    assert body.set == "eu_standard"
    created = await tax_rates.seed_eu(ask.rt, ask.caller)
    rates = [shown(TAX_RATE, row) for row in created]
    return answer({"object": "tax_seed", "as_of": AS_OF, "created": rates}, 201)


def _calculation(currency: str, found: Calculated, lines: list[dict[str, Any]]) -> dict[str, Any]:
    net = sum(found.taxes.nets)
    return {
        "object": "tax_calculation",
        "currency": currency,
        "at": found.at,
        "lines": lines,
        "net_total": net,
        "tax_total": found.taxes.amount,
        "tax_added": found.taxes.on_top,
        "total": net + found.taxes.amount,
    }


def _line(line: TaxLineInput, net: int, one: Resolved, parts: list[TaxPart]) -> dict[str, Any]:
    return {
        "amount": line.amount,
        "tax_code": line.tax_code,
        "net_amount": net,
        "tax_amount": sum(part.amount for part in parts),
        "treatment": one.treatment,
        "reason": one.reason,
        "category": one.treatment.category,
        "note": one.note,
        "country": one.country,
        "taxes": [_part(part) for part in parts],
    }


def _part(part: TaxPart) -> dict[str, Any]:
    rate = part.rate
    return {
        "tax_rate_id": show(TAX_RATE.prefix, rate.id),
        "display_name": rate.display_name,
        "jurisdiction": rate.jurisdiction,
        "percentage": decimals.show(rate.rate_ppm, PERCENT_PLACES),
        "inclusive": rate.inclusive,
        "taxable_amount": part.taxable,
        "amount": part.amount,
        "reason": rate.reason,
    }
