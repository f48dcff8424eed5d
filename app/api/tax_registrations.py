"""/v1/tax_registrations: where the merchant owes tax."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.pages import Created
from app.api.tax_objects import CountryCode, Day, Region, TaxRegistration
from app.db.views import TAX_REGISTRATION
from app.domain.taxation import Scheme
from app.services import tax_registrations
from app.services.tax_rates import Update
from app.services.tax_registrations import CreateTaxRegistration

router = APIRouter(prefix="/v1/tax_registrations", tags=["tax_registrations"], route_class=Endpoint)

Number = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="The merchant's own tax id there, as its invoices state it.",
        examples=["DE136695976"],
    ),
]


class TaxRegistrationCreate(Input):
    country: CountryCode
    region: Region | None = None
    number: Number | None = None
    scheme: Annotated[
        Scheme,
        Field(
            description="oss: the EU's one-stop shop, run by this country, for consumers in all "
            "member states. small_business: exempt below a turnover. none: said not to be."
        ),
    ] = Scheme.STANDARD
    home: Annotated[Flag, Field(description="Whether the business is established there.")] = False
    valid_from: Day | None = None
    valid_until: Annotated[Day | None, Field(description="The first day it is over.")] = None
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateTaxRegistration:
        return CreateTaxRegistration(**dict(self))


class TaxRegistrationUpdate(Change):
    number: Number | None = None
    valid_until: Annotated[Day | None, Field(description="The first day it is over.")] = None
    metadata: c.MetadataChange = Field(default_factory=dict)


class TaxRegistrationList(ListOf[TaxRegistration]):
    pass


class TaxRegistrationsQuery(Created):
    country: c.Country | None = None
    region: Region | None = None
    scheme: Scheme | None = None
    valid_on: Day | None = None


@router.post(
    "", operation_id="create_tax_registration", status_code=201, response_model=TaxRegistration
)
async def create_tax_registration(ask: Asked, body: TaxRegistrationCreate) -> Response:
    """Say where tax is owed: from then on it is charged there."""
    row = await tax_registrations.create(ask.rt, ask.caller, body.command())
    return ask.shown(TAX_REGISTRATION, row, 201)


@router.get("", operation_id="list_tax_registrations", response_model=TaxRegistrationList)
async def list_tax_registrations(
    ask: Asked, query: Annotated[TaxRegistrationsQuery, Query()]
) -> Response:
    """List registrations, the newest first."""
    return await ask.page(TAX_REGISTRATION, query)


@router.get(
    "/{tax_registration_id}", operation_id="get_tax_registration", response_model=TaxRegistration
)
async def get_tax_registration(ask: Asked, tax_registration_id: c.TaxRegistrationRef) -> Response:
    """Get a registration."""
    return await ask.one(TAX_REGISTRATION, tax_registration_id)


@router.patch(
    "/{tax_registration_id}",
    operation_id="update_tax_registration",
    response_model=TaxRegistration,
)
async def update_tax_registration(
    ask: Asked, tax_registration_id: c.TaxRegistrationRef, body: TaxRegistrationUpdate
) -> Response:
    """Change a registration's number, or end it."""
    changes = body.model_dump(exclude_unset=True)
    cmd = Update(tax_registration_id, changes, ask.expected_version())
    return ask.shown(TAX_REGISTRATION, await tax_registrations.update(ask.rt, ask.caller, cmd))


@router.delete(
    "/{tax_registration_id}",
    operation_id="delete_tax_registration",
    response_model=TaxRegistration,
)
async def delete_tax_registration(
    ask: Asked, tax_registration_id: c.TaxRegistrationRef
) -> Response:
    """Take out a registration that was a mistake. End one that is over, with `valid_until`."""
    version = ask.expected_version()
    row = await tax_registrations.delete(ask.rt, ask.caller, tax_registration_id, version)
    return ask.shown(TAX_REGISTRATION, row)
