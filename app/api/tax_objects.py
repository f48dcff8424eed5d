"""What tax resources look like, and the words they are asked in."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from app.api import common as c
from app.api.common import At, Documents, Expanded, MinorUnits, Output, Version, open_enum
from app.api.objects import Customer
from app.domain.places import COUNTRIES


def _day_text(value: Any) -> Any:
    if isinstance(value, date) or (isinstance(value, str) and len(value) == len("2026-01-31")):
        return value
    raise ValueError("Write a day as text, such as 2026-01-31.")


def _day(value: date) -> date:
    if not c.EARLIEST.date() <= value < c.LATEST.date():
        raise ValueError("It must lie between the years 2000 and 2200.")
    return value


def _assigned(code: str) -> str:
    if code not in COUNTRIES:
        raise ValueError("There is no such country in ISO 3166-1.")
    return code


Day = Annotated[
    date, BeforeValidator(_day_text), AfterValidator(_day), Field(examples=["2026-01-01"])
]
CountryCode = Annotated[c.Country, AfterValidator(_assigned)]
Region = Annotated[
    str,
    Field(
        pattern=r"^[A-Z]{2}-[A-Z0-9]{1,3}$",
        description="ISO 3166-2; null: the whole country.",
        examples=["US-CA"],
    ),
]
TaxType = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z_]{1,29}$",
        description="vat, gst, hst, pst, qst, sales_tax, igst, …: what the tax is called.",
        examples=["vat"],
    ),
]
TaxCode = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$",
        description="What kind of product it is, to tax law.",
        examples=["txcd_10103001"],
    ),
]
PostalPrefix = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 -]{0,11}$"),
    Field(examples=["941"]),
]


class TaxRate(Output):
    id: c.TaxRateId
    object: Literal["tax_rate"]
    display_name: str
    percentage: c.Percentage
    inclusive: bool
    type: str
    country: str | None
    region: str | None
    jurisdiction: str | None
    level: Annotated[str, open_enum("country", "region", "county", "city", "district")]
    priority: int
    postal_codes: list[str]
    tax_codes: list[str]
    valid_from: date | None
    valid_until: Annotated[date | None, Field(description="The first day it is over.")]
    source: Annotated[
        str,
        open_enum("merchant", "tax_engine"),
    ]
    """Whose word it is: a tax engine's applies where the engine says so, and nowhere else."""
    metadata: Documents
    active: bool
    created_at: At
    version: Version


class TaxRegistration(Output):
    id: c.TaxRegistrationId
    object: Literal["tax_registration"]
    country: str
    region: str | None
    number: str | None
    scheme: Annotated[str, open_enum("standard", "oss", "small_business", "none")]
    home: Annotated[bool, Field(description="Whether the business is established there.")]
    valid_from: date | None
    valid_until: Annotated[date | None, Field(description="The first day it is over.")]
    metadata: Documents
    created_at: At
    version: Version


class TaxId(Output):
    id: c.TaxIdId
    object: Literal["tax_id"]
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    type: str
    value: Annotated[str, Field(description="As it was written.", examples=["DE 136 695 976"])]
    normalized_value: Annotated[str, Field(examples=["DE136695976"])]
    country: str | None
    status: Annotated[str, open_enum("valid_format", "verified", "invalid", "unverified")]
    created_at: At
    version: Version


TreatmentName = Annotated[
    str,
    open_enum(
        "taxable", "zero_rated", "reverse_charge", "exempt", "not_registered", "outside_scope"
    ),
]


class CalculatedTax(Output):
    tax_rate_id: c.TaxRateId
    display_name: str
    jurisdiction: str
    percentage: c.Percentage
    inclusive: bool
    taxable_amount: MinorUnits
    amount: MinorUnits
    reason: Annotated[str | None, Field(description="Why it is zero.")]


class CalculatedLine(Output):
    amount: MinorUnits
    tax_code: str | None
    net_amount: Annotated[int, Field(description="Without any tax, in minor units.")]
    tax_amount: MinorUnits
    treatment: TreatmentName
    reason: Annotated[
        str | None,
        open_enum(
            "customer_exempt",
            "small_business",
            "reverse_charge",
            "not_registered",
            "outside_scope",
            "zero_rated",
            "no_rate",
            "location_unknown",
        ),
    ]
    category: Annotated[str, Field(description="Of EN 16931.", examples=["S"])]
    note: Annotated[
        str | None,
        Field(description="The VATEX code that invoices give.", examples=["VATEX-EU-AE"]),
    ]
    country: Annotated[str | None, Field(description="Where it is taxed.")]
    taxes: list[CalculatedTax]


class TaxCalculation(Output):
    object: Literal["tax_calculation"]
    currency: c.Currency
    at: At
    lines: list[CalculatedLine]
    net_total: MinorUnits
    tax_total: MinorUnits
    tax_added: Annotated[int, Field(description="The part of the tax that comes on top.")]
    total: MinorUnits


class TaxSeed(Output):
    object: Literal["tax_seed"]
    as_of: Annotated[date, Field(description="The day whose rates these are.")]
    created: list[TaxRate]
