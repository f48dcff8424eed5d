"""/v1/invoices/…/lines/…/explanation: how a line comes to its amounts, and the proof."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import At, MinorUnits, Output, open_enum
from app.api.endpoint import Asked, Endpoint
from app.domain import decimals, pricing
from app.domain.crediting import Charged
from app.domain.discount import Discount
from app.domain.explain import Facts, default_of
from app.domain.explaining import About
from app.domain.policy import Basis
from app.domain.pricing import Price
from app.domain.tax import TaxRate
from app.ids import show
from app.services import explanations
from app.services.explanations import Explained
from app.services.public import PERCENT_PLACES

router = APIRouter(prefix="/v1/invoices", tags=["previews"], route_class=Endpoint)


class ExplanationQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    verify: Annotated[
        bool, Field(description="Compare what is stored with what its inputs come to.")
    ] = False


class ExplainedPrice(Output):
    id: c.PriceId
    version: int
    model: str
    unit_amount: c.UnitAmount
    tiers: Annotated[int, Field(description="How many tiers it has.")]
    interval: str | None
    interval_count: int | None
    timing: str
    meter_id: c.MeterId | None


class ExplainedShare(Output):
    part: int
    whole: int
    unit: Annotated[str, open_enum("second", "day")]
    full_period_start: Annotated[
        At | None, Field(description="Null where the anchor has moved since.")
    ]
    full_period_end: At | None


class ExplainedCoupon(Output):
    coupon_id: c.CouponId
    name: str
    percent_off: c.Percentage | None
    amount_off: MinorUnits | None
    fixed_price: MinorUnits | None
    duration: str


class ExplainedTax(Output):
    tax_rate_id: c.TaxRateId
    display_name: str
    percentage: c.Percentage
    inclusive: bool


class ExplainedReversal(Output):
    line_id: c.InvoiceLineId
    amount: MinorUnits
    returned_before: MinorUnits


class ExplanationInputs(Output):
    price: ExplainedPrice | None
    quantity: int
    usage_events: Annotated[int | None, Field(description="Events of the metered quantity, now.")]
    period_start: At
    period_end: At
    time_zone: str
    share: ExplainedShare | None
    coupons: list[ExplainedCoupon]
    tax_rates: list[ExplainedTax]
    reverses: ExplainedReversal | None


class ExplanationSetting(Output):
    name: str
    value: str | int
    default: str | int


class ExplanationStep(Output):
    about: Annotated[str, open_enum(*About)]
    text: str
    formula: Annotated[str, Field(examples=["1000 × 1209600/2419200 = 500"])]
    amount: Annotated[int | None, Field(description="In minor units, where the step is whole.")]


class ExplanationEvent(Output):
    id: c.EventId
    type: str
    created_at: At


class ExplanationDifference(Output):
    field: str
    stored: MinorUnits
    reckoned: MinorUnits


class LineExplanation(Output):
    object: Literal["line_explanation"]
    invoice_id: c.InvoiceId
    line_id: c.InvoiceLineId
    kind: str
    description: str
    amount: MinorUnits
    discount_amount: MinorUnits
    tax_amount: MinorUnits
    total: MinorUnits
    inputs: ExplanationInputs
    settings: Annotated[
        list[ExplanationSetting], Field(description="The billing settings that had a say.")
    ]
    steps: list[ExplanationStep]
    events: Annotated[list[ExplanationEvent], Field(description="What it came with.")]
    verified: Annotated[
        bool | None, Field(description="Only with `verify`: whether it is reckoned as stored.")
    ]
    differences: list[ExplanationDifference]


@router.get(
    "/{invoice_id}/lines/{line_id}/explanation",
    operation_id="explain_invoice_line",
    response_model=LineExplanation,
)
async def explain_invoice_line(
    ask: Asked,
    invoice_id: c.InvoiceRef,
    line_id: c.InvoiceLineRef,
    query: Annotated[ExplanationQuery, Query()],
) -> Response:
    """Every step from the inputs of a line to its amounts, in exact fractions.

    With `verify` they are compared with what is stored.
    """
    found = await explanations.of_line(ask.rt, ask.caller, invoice_id, line_id)
    return answer(_shown(found, verify=query.verify))


def _shown(found: Explained, *, verify: bool) -> dict[str, Any]:
    facts, made = found.facts, found.explanation
    line = facts.line
    differences = [
        {"field": each.field, "stored": each.stored, "reckoned": each.reckoned}
        for each in made.differences
    ]
    return {
        "object": "line_explanation",
        "invoice_id": show("inv", facts.invoice.id),
        "line_id": show("il", line.id),
        "kind": line.charge.kind,
        "description": line.charge.description,
        "amount": line.charge.amount,
        "discount_amount": line.discount_amount,
        "tax_amount": line.tax_amount,
        "total": line.total,
        "inputs": _inputs(facts),
        "settings": [
            {"name": name, "value": value, "default": default_of(name)}
            for name, value in made.dials.items()
        ],
        "steps": [
            {"about": s.about, "text": s.text, "formula": s.formula, "amount": s.amount}
            for s in made.steps
        ],
        "events": [
            {"id": show("evt", row["id"]), "type": row["type"], "created_at": row["created_at"]}
            for row in found.causes
        ],
        "verified": not differences if verify else None,
        "differences": differences if verify else [],
    }


def _inputs(facts: Facts) -> dict[str, Any]:
    charge, taken = facts.line.charge, {part.discount_id for part in facts.line.discounts}
    return {
        "price": None if facts.price is None else _price(facts.price),
        "quantity": charge.quantity,
        "usage_events": facts.events,
        "period_start": charge.period.start,
        "period_end": charge.period.end,
        "time_zone": facts.zone,
        "share": _share(facts),
        "coupons": [
            _coupon(discount, facts) for discount in facts.discounts if discount.id in taken
        ],
        "tax_rates": [_tax(part.rate) for part in facts.line.taxes],
        "reverses": None if facts.reversed is None else _reversal(facts.reversed),
    }


def _share(facts: Facts) -> dict[str, Any] | None:
    share, policy = facts.line.charge.share, facts.invoice.policy
    return {
        "part": share.part,
        "whole": share.whole,
        "unit": "day" if policy.proration_basis is Basis.DAY else "second",
        "full_period_start": None if facts.full is None else facts.full.start,
        "full_period_end": None if facts.full is None else facts.full.end,
    }


def _price(price: Price) -> dict[str, Any]:
    return {
        "id": show("price", price.id),
        "version": price.version,
        "model": price.model,
        "unit_amount": pricing.show_unit_amount(price.unit_amount_scaled),
        "tiers": len(price.tiers),
        "interval": None if price.interval is None else price.interval.unit,
        "interval_count": None if price.interval is None else price.interval.count,
        "timing": price.timing,
        "meter_id": None if price.meter_id is None else show("mtr", price.meter_id),
    }


def _coupon(discount: Discount, facts: Facts) -> dict[str, Any]:
    coupon, currency = discount.coupon, facts.invoice.order.currency
    ppm, amount = coupon.percent_off_ppm, coupon.amounts.get(currency)
    return {
        "coupon_id": show("cpn", coupon.id),
        "name": coupon.name,
        "percent_off": None if ppm is None else decimals.show(ppm, PERCENT_PLACES),
        "amount_off": None if coupon.amount_off is None else amount,
        "fixed_price": None if coupon.fixed_price is None else amount,
        "duration": coupon.duration,
    }


def _tax(rate: TaxRate) -> dict[str, Any]:
    return {
        "tax_rate_id": show("txr", rate.id),
        "display_name": rate.display_name,
        "percentage": decimals.show(rate.rate_ppm, PERCENT_PLACES),
        "inclusive": rate.inclusive,
    }


def _reversal(charged: Charged) -> dict[str, Any]:
    return {
        "line_id": show("il", charged.line.id),
        "amount": charged.line.charge.amount,
        "returned_before": charged.returned.amount,
    }
