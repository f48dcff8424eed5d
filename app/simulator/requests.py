"""The bodies the simulator accepts. What it does not know it refuses, card data above all."""

from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.simulator.behaviour import DECLINE_CODES

AMOUNT_MAX: Final = 10**12
"""Far beyond any real charge; keeps every sum inside SQLite's 64 bits."""
INSTANT_MAX: Final = 2**53
REFERENCE_LENGTH_MAX: Final = 40
KEY_LENGTH_MAX: Final = 255

Amount = Annotated[int, Field(ge=1, le=AMOUNT_MAX)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Reference = Annotated[
    str, StringConstraints(pattern=rf"^[A-Za-z0-9_-]{{1,{REFERENCE_LENGTH_MAX}}}$")
]
Token = Annotated[str, StringConstraints(pattern=r"^pm_[A-Za-z0-9_-]{1,120}$")]
Text = Annotated[str, StringConstraints(max_length=500)]


class Refusal(Exception):
    """The simulator will not do it and has done nothing; becomes an HTTP error."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param


class Body(BaseModel):
    """What all bodies share: no unknown fields, no conversions (`"100"` is not an amount)."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ChargeBody(Body):
    """POST /v1/charges."""

    reference: Reference
    amount: Amount
    currency: Currency
    payment_method: Token
    customer: Text | None = None
    invoice_number: Text | None = None
    description: Text | None = None
    sequence: Literal["initial", "subsequent"] = "subsequent"
    network_transaction_id: Text | None = None
    capture: bool = True
    """False: the money is only held."""
    order: Text | None = None
    """An order of POST /v1/orders: at most one charge on it ever succeeds."""
    not_before: Annotated[int, Field(ge=0, le=INSTANT_MAX)] | None = None
    """When the customer was told that it would be charged, in milliseconds of the Unix epoch."""


class CaptureBody(Body):
    """POST /v1/charges/{id}/capture: what is not captured is given up."""

    amount: Amount
    currency: Currency


class VoidBody(Body):
    """POST /v1/charges/{id}/void."""


class RefundBody(Body):
    """POST /v1/refunds."""

    charge: Text
    reference: Reference
    amount: Amount
    currency: Currency


class ReturnBody(Body):
    """POST /v1/refunds/{id}/return: the customer's bank sends the money back."""

    failure_code: Text = "generic"


class OrderBody(Body):
    """POST /v1/orders."""

    receipt: Reference
    amount: Amount
    currency: Currency


class CustomerBody(Body):
    """POST /v1/customers."""

    reference: Reference
    email: Text | None = None
    name: Text | None = None


class PaymentMethodBody(Body):
    """POST /v1/payment_methods: a token in the vault that behaves like a magic one."""

    behaves_like: Token
    customer: Text | None = None


class SetupBody(Body):
    """POST /v1/setups."""

    reference: Reference
    customer: Text


class ConfirmBody(Body):
    """POST /setups/{id}/confirm and /actions/{id}/confirm: the customer's part.

    For a set-up, what the new payment method behaves like; a decline code makes it fail.
    """

    client_secret: Text
    behaves_like: Token = "pm_sim_ok"
    decline_code: Annotated[
        str | None, Field(json_schema_extra={"enum": sorted(DECLINE_CODES)})
    ] = None


class DisputeBody(Body):
    """POST /v1/disputes: the customer's bank takes a charge back, or a part of it."""

    charge: Text
    amount: Amount | None = None
    reason: Text = "fraudulent"


class DisputeUpdate(Body):
    """POST /v1/disputes/{id}."""

    status: Literal["under_review", "won", "lost", "closed"]


class ClockBody(Body):
    """PUT /v1/clock: what time it is, in milliseconds of the Unix epoch."""

    at: Annotated[int, Field(ge=0, le=INSTANT_MAX)]


class EndpointBody(Body):
    """PUT /v1/webhook_endpoint: where events are delivered to, and signed with what."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[!-~]{1,500}$")]
    secret: Annotated[str, StringConstraints(pattern=r"^whsec_[A-Za-z0-9+/=]{16,200}$")]


Validated = TypeVar("Validated", bound=BaseModel)


def validated(model: type[Validated], body: bytes) -> Validated:
    """`body` as a `model`; raises Refusal with the first thing that is wrong with it."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        raise Refusal(400, "invalid_request", first["msg"], param) from error
