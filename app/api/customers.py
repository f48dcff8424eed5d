"""/v1/customers: who is billed."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Change, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import BalanceTransaction, Customer
from app.api.pages import Created
from app.db.views import BALANCE_TRANSACTION, CUSTOMER
from app.domain.taxation import TaxExempt
from app.services import customers
from app.services.customers import AdjustBalance, CreateCustomer, UpdateCustomer

router = APIRouter(prefix="/v1/customers", tags=["customers"], route_class=Endpoint)

Line = Annotated[str, Field(max_length=200)]
Language = Annotated[
    str,
    Field(
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        max_length=35,
        description="BCP 47. Documents speak it, or else the merchant's default language.",
        examples=["nl", "de-AT"],
    ),
]
TaxNote = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        description="Why no tax is charged: the number of an exemption certificate, say.",
        examples=["Resale certificate 12-3456789"],
    ),
]


class AddressInput(Input):
    """Where a customer is; `country` decides what tax there may be."""

    line1: Line | None = None
    line2: Line | None = None
    city: Line | None = None
    state: Line | None = None
    postal_code: Annotated[str, Field(max_length=20)] | None = None
    country: c.Country | None = None


class CustomerCreate(Input):
    external_id: c.ExternalId | None = None
    email: c.Email | None = None
    name: c.Name | None = None
    address: AddressInput = AddressInput()
    time_zone: Annotated[c.TimeZone, Field(description="Where its billing days begin.")] = "UTC"
    language: Language | None = None
    test_clock_id: c.TestClockRef | None = None
    tax_exempt: TaxExempt = TaxExempt.NONE
    tax_exemption_note: TaxNote | None = None
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateCustomer:
        return CreateCustomer(
            self.external_id,
            self.email,
            self.name,
            self.address.model_dump(),
            self.time_zone,
            self.test_clock_id,
            self.metadata,
            self.tax_exempt,
            self.tax_exemption_note,
            self.language,
        )


class CustomerUpdate(Change):
    external_id: c.ExternalId | None = None
    email: c.Email | None = None
    name: c.Name | None = None
    address: Annotated[AddressInput, Field(description="Replaces the address as a whole.")] = (
        AddressInput()
    )
    time_zone: c.TimeZone = "UTC"
    language: Language | None = None
    tax_exempt: TaxExempt = TaxExempt.NONE
    tax_exemption_note: TaxNote | None = None
    default_payment_method_id: c.PaymentMethodRef | None = None
    metadata: c.MetadataChange = Field(default_factory=dict)


class CustomerList(ListOf[Customer]):
    pass


class BalanceTransactionCreate(Input):
    amount: Annotated[
        c.SignedAmount,
        Field(description="In minor units: above zero grants credit, below takes it back."),
    ]
    currency: c.Currency
    description: c.Description | None = None


class BalanceTransactionList(ListOf[BalanceTransaction]):
    pass


class CustomersQuery(Created):
    email: c.Email | None = None
    external_id: c.ExternalId | None = None
    test_clock_id: c.TestClockRef | None = None


class BalanceTransactionsQuery(Created):
    currency: c.Currency | None = None


@router.post("", operation_id="create_customer", status_code=201, response_model=Customer)
async def create_customer(ask: Asked, body: CustomerCreate) -> Response:
    """Create a customer."""
    row = await customers.create(ask.rt, ask.caller, body.command())
    return ask.shown(CUSTOMER, row, 201)


@router.get("", operation_id="list_customers", response_model=CustomerList)
async def list_customers(ask: Asked, query: Annotated[CustomersQuery, Query()]) -> Response:
    """List customers, the newest first, without the deleted ones."""
    return await ask.page(CUSTOMER, query)


@router.get("/{customer_id}", operation_id="get_customer", response_model=Customer)
async def get_customer(ask: Asked, customer_id: c.CustomerRef) -> Response:
    """Get a customer."""
    return await ask.one(CUSTOMER, customer_id)


@router.patch("/{customer_id}", operation_id="update_customer", response_model=Customer)
async def update_customer(ask: Asked, customer_id: c.CustomerRef, body: CustomerUpdate) -> Response:
    """Change a customer: fields that are not sent stay as they are."""
    changes = body.model_dump(exclude_unset=True)
    if "address" in changes:
        changes["address"] = body.address.model_dump()
    cmd = UpdateCustomer(customer_id, changes, ask.expected_version())
    return ask.shown(CUSTOMER, await customers.update(ask.rt, ask.caller, cmd))


@router.delete("/{customer_id}", operation_id="delete_customer", response_model=Customer)
async def delete_customer(ask: Asked, customer_id: c.CustomerRef) -> Response:
    """Delete a customer: who it was is forgotten, invoices and payments stay."""
    row = await customers.delete(ask.rt, ask.caller, customer_id, ask.expected_version())
    return ask.shown(CUSTOMER, row)


@router.post(
    "/{customer_id}/balance_transactions",
    operation_id="create_balance_transaction",
    status_code=201,
    response_model=BalanceTransaction,
)
async def create_balance_transaction(
    ask: Asked, customer_id: c.CustomerRef, body: BalanceTransactionCreate
) -> Response:
    """Grant a customer credit, or take it back; the next invoices use it up."""
    cmd = AdjustBalance(customer_id, body.currency, body.amount, body.description)
    row = await customers.adjust_balance(ask.rt, ask.caller, cmd)
    return ask.shown(BALANCE_TRANSACTION, row, 201)


@router.get(
    "/{customer_id}/balance_transactions",
    operation_id="list_balance_transactions",
    response_model=BalanceTransactionList,
)
async def list_balance_transactions(
    ask: Asked,
    customer_id: c.CustomerRef,
    query: Annotated[BalanceTransactionsQuery, Query()],
) -> Response:
    """List what moved a customer's credit, the newest first."""
    return await ask.page(BALANCE_TRANSACTION, query, {"customer_id": customer_id})
