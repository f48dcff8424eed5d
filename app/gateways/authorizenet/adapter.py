"""The adapter itself: each verb of the contract, handed to the file that knows how."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from app.domain.dispute import DisputeLookup, DisputeReport
from app.domain.outcome import (
    NotExecuted,
    Outcome,
    PaymentLookup,
    RefundLookup,
    RefundOutcome,
    Unknown,
    VoidOutcome,
)
from app.domain.vault import CustomerOutcome, DetachOutcome, MethodLookup, SetupOutcome
from app.gateways.authorizenet import (
    charging,
    listing,
    looking,
    refunding,
    vault,
    webhooks,
    words,
)
from app.gateways.authorizenet.account import CAPABILITIES, FIELDS, NAME, opened
from app.gateways.authorizenet.api import Heard, Reply
from app.gateways.base import (
    AccountSettings,
    AuthenticationError,
    CredentialCheck,
    CredentialField,
    InvalidRequestError,
)
from app.gateways.capabilities import Capabilities
from app.gateways.reports import GatewayEvent, GatewayTransaction, WebhookDelivery
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    CustomerRequest,
    MethodReference,
    PaymentQuery,
    RefundQuery,
    RefundRequest,
    SetupCompletion,
    SetupRequest,
    TimeWindow,
    VoidRequest,
)


class AuthorizeNetGateway:
    """One account at Authorize.net, in its one currency."""

    name: ClassVar[str] = NAME

    def __init__(self, settings: AccountSettings) -> None:
        self._account = opened(settings)

    @property
    def capabilities(self) -> Capabilities:
        """What the engine may rely on at this account."""
        return self._account.capabilities

    async def create_customer(self, request: CustomerRequest) -> CustomerOutcome:
        """Make the customer known; one who is known already is found."""
        return await vault.create_customer(self._account, request)

    async def start_setup(self, request: SetupRequest) -> SetupOutcome:
        """What the storefront's Accept.js needs."""
        return vault.start_setup(self._account, request)

    async def complete_setup(self, request: SetupCompletion) -> SetupOutcome:
        """Exchange the token of Accept.js for a payment method, once per set-up."""
        return await vault.complete_setup(self._account, request)

    async def get_payment_method(self, method: MethodReference) -> MethodLookup:
        """How the gateway keeps it now."""
        return await vault.get_payment_method(self._account, method)

    async def detach_payment_method(
        self, method: MethodReference, *, idempotency_key: str
    ) -> DetachOutcome:
        """Let go of it; the gateway knows no keys, and deletes twice like once."""
        del idempotency_key
        return await vault.detach_payment_method(self._account, method)

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Take money off-session, or hold it."""
        return await charging.charge(self._account, request)

    async def capture(self, request: CaptureRequest) -> Outcome:
        """Take what was held."""
        return await charging.capture(self._account, request)

    async def void(self, request: VoidRequest) -> VoidOutcome:
        """Give up what is held or under review."""
        return await charging.void(self._account, request)

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back."""
        return await refunding.refund(self._account, request)

    async def find_payment(self, query: PaymentQuery) -> PaymentLookup:
        """How the charge with our reference stands now."""
        return await looking.find_payment(self._account, query)

    async def fetch_payment(self, gateway_reference: str) -> PaymentLookup:
        """How the charge that the gateway calls so stands now."""
        return await looking.fetch_payment(self._account, gateway_reference)

    async def find_refund(self, query: RefundQuery) -> RefundLookup:
        """How the refund with our reference stands now."""
        return await looking.find_refund(self._account, query)

    async def fetch_refund(
        self, gateway_reference: str, payment_reference: str | None = None
    ) -> RefundLookup:
        """How the refund that the gateway calls so stands now."""
        del payment_reference
        return await looking.fetch_refund(self._account, gateway_reference)

    async def fetch_dispute(self, gateway_reference: str) -> DisputeLookup:
        """How a dispute stands now."""
        return await looking.fetch_dispute(self._account, gateway_reference)

    def list_transactions(self, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
        """Every charge and refund made in the window."""
        return listing.transactions(self._account, window)

    def list_disputes(self, window: TimeWindow) -> AsyncIterator[DisputeReport]:
        """Every dispute that may have changed in the window."""
        return listing.disputes(self._account, window)

    async def check_credentials(self) -> CredentialCheck:
        """Whether the gateway accepts them, and lets us look at its books: without that no lost
        answer could ever be resolved.
        """
        paging = {"paging": {"limit": 1, "offset": 1}}
        for name, fields in (
            ("authenticateTestRequest", {}),
            ("getUnsettledTransactionListRequest", paging),
        ):
            try:
                heard = await self._account.api.call(name, fields)
            except (AuthenticationError, InvalidRequestError):
                return CredentialCheck.REFUSED
            if (check := checked(heard)) is not CredentialCheck.VALID:
                return check
        return CredentialCheck.VALID

    async def verify_webhook(self, delivery: WebhookDelivery) -> tuple[GatewayEvent, ...]:
        """What a delivery is about, once it is proved to be this account's."""
        return webhooks.verified(self._account.signature_keys, delivery)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._account.api.aclose()


def checked(heard: Heard) -> CredentialCheck:
    """What the answer to a harmless call says of the credentials."""
    match heard:
        case NotExecuted() | Unknown():
            return CredentialCheck.UNREACHABLE
        case Reply(is_ok=True) | Reply(code=words.NO_RECORDS):
            return CredentialCheck.VALID
        case Reply():
            return CredentialCheck.REFUSED


@dataclass(frozen=True, slots=True)
class AuthorizeNetFactory:
    """Opens accounts at Authorize.net."""

    name: str = NAME
    capabilities: Capabilities = CAPABILITIES
    fields: tuple[CredentialField, ...] = FIELDS

    def __call__(self, account: AccountSettings) -> AuthorizeNetGateway:
        """An open account, without any I/O yet. Raises ConfigurationError."""
        return AuthorizeNetGateway(account)


AUTHORIZENET: Final = AuthorizeNetFactory()
