"""PayPal's objects, as far as we read them. Unknown members are passed over, unknown states are not
understood: an answer with one says nothing.
"""

from typing import Literal

from pydantic import BaseModel

from app.gateways.paypal.amounts import Amount


class Link(BaseModel):
    """Where to go from an object."""

    href: str
    rel: str


class RelatedIds(BaseModel):
    """What an object belongs to."""

    order_id: str | None = None
    authorization_id: str | None = None
    capture_id: str | None = None


class Supplementary(BaseModel):
    """More about a payment."""

    related_ids: RelatedIds = RelatedIds()


class NetworkReference(BaseModel):
    """The card scheme's own name of a transaction."""

    id: str


class Fee(BaseModel):
    """What PayPal kept."""

    paypal_fee: Amount | None = None


class StatusDetails(BaseModel):
    """Why a payment is pending, or was declined."""

    reason: str | None = None


class ProcessorResponse(BaseModel):
    """What the card's processor and scheme said."""

    response_code: str | None = None
    payment_advice_code: str | None = None


class Payment(BaseModel):
    """What captures, authorizations and refunds have in common."""

    id: str
    amount: Amount
    invoice_id: str | None = None
    custom_id: str | None = None
    create_time: str | None = None
    status_details: StatusDetails | None = None
    links: list[Link] = []
    supplementary_data: Supplementary = Supplementary()

    @property
    def our_reference(self) -> str | None:
        """Our code, as it was sent with the order or the refund."""
        return self.invoice_id or self.custom_id


class Capture(Payment):
    """Money that moved, or was to."""

    status: Literal["COMPLETED", "DECLINED", "PARTIALLY_REFUNDED", "PENDING", "REFUNDED", "FAILED"]
    network_transaction_reference: NetworkReference | None = None
    processor_response: ProcessorResponse | None = None
    seller_receivable_breakdown: Fee | None = None


class Authorization(Payment):
    """Money that is held."""

    status: Literal["CREATED", "CAPTURED", "DENIED", "PARTIALLY_CAPTURED", "VOIDED", "PENDING"]
    expiration_time: str | None = None
    network_transaction_reference: NetworkReference | None = None
    processor_response: ProcessorResponse | None = None


class Refund(Payment):
    """Money that went back, or was to."""

    status: Literal["CANCELLED", "FAILED", "PENDING", "COMPLETED"]


class Payments(BaseModel):
    """What became of a purchase unit."""

    captures: list[Capture] = []
    authorizations: list[Authorization] = []
    refunds: list[Refund] = []


class Unit(BaseModel):
    """What an order is for; ours have one each."""

    amount: Amount
    invoice_id: str | None = None
    custom_id: str | None = None
    payments: Payments = Payments()

    @property
    def our_reference(self) -> str | None:
        """Our code, as it was sent."""
        return self.invoice_id or self.custom_id


class Order(BaseModel):
    """An order; a minimal answer has no units."""

    id: str
    status: Literal["CREATED", "SAVED", "APPROVED", "VOIDED", "COMPLETED", "PAYER_ACTION_REQUIRED"]
    intent: Literal["CAPTURE", "AUTHORIZE"] | None = None
    purchase_units: list[Unit] = []
    update_time: str | None = None
    create_time: str | None = None
    links: list[Link] = []


class Customer(BaseModel):
    """Whose a token is; the id is PayPal's own."""

    id: str | None = None


class SavedCard(BaseModel):
    """A card in the vault."""

    brand: str | None = None
    last_digits: str | None = None
    expiry: str | None = None
    network_transaction_reference: NetworkReference | None = None


class SavedWallet(BaseModel):
    """A PayPal account in the vault; what PayPal says about its owner is not read."""

    payer_id: str | None = None
    account_id: str | None = None


class TokenSource(BaseModel):
    """What is in the vault."""

    card: SavedCard | None = None
    paypal: SavedWallet | None = None


class SetupToken(BaseModel):
    """A payment method on its way into the vault."""

    id: str
    status: Literal["CREATED", "PAYER_ACTION_REQUIRED", "APPROVED", "VAULTED", "TOKENIZED"]
    customer: Customer = Customer()
    links: list[Link] = []


class PaymentToken(BaseModel):
    """A payment method in the vault."""

    id: str
    customer: Customer = Customer()
    payment_source: TokenSource = TokenSource()


class PaymentTokens(BaseModel):
    """The payment methods of one customer."""

    payment_tokens: list[PaymentToken] = []


def link(links: list[Link], *rels: str) -> str | None:
    """The first of the named ways that there is."""
    found = {one.rel: one.href for one in links}
    return next((found[rel] for rel in rels if rel in found), None)
