"""The bodies the simulator accepts. What it does not know it refuses, card data above all."""

from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

AMOUNT_MAX: Final = 10**12
"""Far beyond any real charge; keeps every sum inside SQLite's 64 bits."""
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


class RefundBody(Body):
    """POST /v1/refunds."""

    charge: Text
    reference: Reference
    amount: Amount
    currency: Currency


class PaymentMethodBody(Body):
    """POST /v1/payment_methods: a token in the vault that behaves like a magic one."""

    behaves_like: Token
    customer: Text | None = None


Validated = TypeVar("Validated", bound=BaseModel)


def validated(model: type[Validated], body: bytes) -> Validated:
    """`body` as a `model`; raises Refusal with the first thing that is wrong with it."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        raise Refusal(400, "invalid_request", first["msg"], param) from error
