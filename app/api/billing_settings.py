"""/v1/billing_settings: the dials where billing engines disagree, and what the merchant chose."""

from dataclasses import fields
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import Field, create_model
from starlette.responses import Response

from app.api.answers import answer
from app.api.common import Change, Output, open_enum
from app.api.endpoint import Asked, Endpoint
from app.domain.policy import DAYS_MAX, DEFAULT, TYPES, Policy
from app.services import billing_settings

router = APIRouter(prefix="/v1/billing_settings", tags=["billing settings"], route_class=Endpoint)

WHAT: Final[dict[str, str]] = {
    "rounding": "What becomes of exactly half a minor unit.",
    "proration_basis": "What a part of a period is measured in.",
    "proration_stub_reference": "The full period that a first or last part is compared with.",
    "proration_last_day": "Whether the day of a cancellation counts as used, counting days.",
    "upgrade": "When a better plan takes the place of another.",
    "downgrade": "When a lesser plan takes the place of another.",
    "quantity_increase": "When a quantity grows.",
    "quantity_decrease": "When a quantity shrinks.",
    "interval_change": "When a plan is billed at another interval.",
    "settlement": "How a change that takes place now is paid.",
    "direction_by": "What says whether a change of plan is an upgrade.",
    "cancel_when": "When a cancellation takes effect if nobody says.",
    "cancel_credit": "What of a period paid in advance comes back when it is canceled now.",
    "cancel_credit_to": "Where such a credit goes.",
    "credit_form": "Whether what comes back is lines of the next bill, or credit notes.",
    "anchor": "Where a new subscription's periods are counted from.",
    "anchor_change": "How a running subscription comes to another anchor.",
    "first_period": "What a part before the first full period costs.",
    "pause_unused": "What becomes of the rest of a paid period in a pause.",
    "pause_resume": "What begins when it is resumed after the paid period is over.",
    "coupon_stacking": "In which order discounts are taken.",
    "coupon_on_proration": "Whether charges for a part of a period are discounted.",
    "tax_rounding": "Whether tax is rounded once per rate or on each line.",
    "invoice_grace_days": "Days a renewal's invoice stays a draft before it is finalized.",
    "invoice_consolidation": "Whether renewals of a customer at one instant become one invoice.",
    "trial_end_without_payment_method": "What then happens at the end of a trial.",
    "second_trial": "Whether a customer may try plans of the same family again.",
    "late_payments": "What becomes of money that a gateway took too late, or twice.",
    "late_usage_days": "Days for which usage of a billed period is still taken.",
}


def _dial(name: str) -> Any:
    """The type of a dial in a request: its values, or days."""
    kind = TYPES[name]
    if issubclass(kind, StrEnum):
        return kind
    return Annotated[int, Field(strict=True, ge=0, le=DAYS_MAX[name])]


def _shown(name: str) -> Any:
    kind = TYPES[name]
    if issubclass(kind, StrEnum):
        return Annotated[str, open_enum(*(member.value for member in kind))]
    return int


NAMES: Final = [field.name for field in fields(Policy)]
assert set(NAMES) == set(WHAT), "every dial is documented"

INPUTS: Final[dict[str, Any]] = {
    name: (
        _dial(name) | None,
        Field(None, description=f"{WHAT[name]} Default: {getattr(DEFAULT, name)}."),
    )
    for name in NAMES
}
OUTPUTS: Final[dict[str, Any]] = {
    "object": (Literal["billing_settings"], ...),
    **{name: (_shown(name), Field(description=WHAT[name])) for name in NAMES},
}
BillingSettingsUpdate = create_model(
    "BillingSettingsUpdate",
    __base__=Change,
    __doc__="Settings to change, from now on; null puts one back to its default.",
    **INPUTS,
)
BillingSettings = create_model(
    "BillingSettings",
    __base__=Output,
    __doc__="Every setting as it applies: what was chosen, and the defaults of the rest.",
    **OUTPUTS,
)


def _answer(found: Policy) -> Response:
    settings = {name: getattr(found, name) for name in NAMES}
    return answer({"object": "billing_settings"} | settings)


@router.get("", operation_id="get_billing_settings", response_model=BillingSettings)
async def get_billing_settings(ask: Asked) -> Response:
    """Get the billing settings as they apply."""
    return _answer(await billing_settings.get(ask.rt, ask.caller))


@router.patch("", operation_id="update_billing_settings", response_model=BillingSettings)
async def update_billing_settings(ask: Asked, body: BillingSettingsUpdate) -> Response:
    """Change billing settings from now on; what is billed already stays as it was billed."""
    changes = body.model_dump(exclude_unset=True)
    return _answer(await billing_settings.update(ask.rt, ask.caller, changes))
