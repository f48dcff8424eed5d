"""The adapter of Stripe: each verb of the contract, done by the module that knows its subject.

Whatever we make carries our reference in its metadata, and every answer is held against it: one
that speaks of another amount, currency, reference or mode proves nothing. The facts that this
relies on, and which of them could be checked, are in docs/gateways-stripe.md.
"""

from collections.abc import AsyncIterator
from typing import ClassVar, Final

from app.domain.dispute import DisputeLookup, DisputeReport
from app.domain.outcome import Outcome, PaymentLookup, RefundLookup, RefundOutcome, VoidOutcome
from app.domain.vault import (
    CustomerOutcome,
    DetachOutcome,
    MethodLookup,
    SetupFlow,
    SetupOutcome,
)
from app.gateways.base import (
    AccountSettings,
    AuthenticationError,
    CredentialCheck,
    CredentialField,
)
from app.gateways.capabilities import AmountFormat, Capabilities, NativeKey
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
from app.gateways.stripe import (
    amounts,
    books,
    credentials,
    lookups,
    payments,
    refunds,
    vault,
    webhooks,
)
from app.gateways.stripe.wire import Wire
from app.gateways.stripe.words import Page

KEY: Final = NativeKey(ttl_seconds=86_400, margin_seconds=3_600)
"""Stripe keeps a key for 24 hours at least."""


class StripeGateway:
    """One account at Stripe."""

    name: ClassVar[str] = "stripe"
    fields: ClassVar[tuple[CredentialField, ...]] = credentials.FIELDS
    capabilities: ClassVar[Capabilities] = Capabilities(
        charge_repeatability=KEY,
        refund_repeatability=KEY,
        setup_repeatability=KEY,
        capture_repeatability=KEY,
        lookup_freshness_seconds=300,
        effect_latest_seconds=3_600,
        reference_length_max=255,
        amount_format=AmountFormat.MINOR_INTEGER,
        setup_flow=SetupFlow.CLIENT_SECRET,
        currencies=amounts.SUPPORTED,
        pending_seconds_max=21 * 86_400,  # a bank debit may take 14 working days
        requests_per_second=25,  # on each endpoint, live and test (docs.stripe.com/rate-limits)
    )

    def __init__(self, account: AccountSettings) -> None:
        self._account = account
        self._publishable_key = account.options.get(credentials.PUBLISHABLE_KEY)
        self._return_url = account.options.get(credentials.RETURN_URL)
        self._wire = Wire(account, credentials.secret_key(account))

    async def create_customer(self, request: CustomerRequest) -> CustomerOutcome:
        """Make the customer known at Stripe."""
        return await vault.create_customer(self._wire, request.customer, request.idempotency_key)

    async def start_setup(self, request: SetupRequest) -> SetupOutcome:
        """Begin to keep a payment method, by a set-up intent."""
        return await vault.start_setup(self._wire, request, self._publishable_key, self._return_url)

    async def complete_setup(self, request: SetupCompletion) -> SetupOutcome:
        """What became of a set-up."""
        return await vault.complete_setup(self._wire, request)

    async def get_payment_method(self, method: MethodReference) -> MethodLookup:
        """How Stripe keeps it now."""
        return await vault.get_payment_method(self._wire, method)

    async def detach_payment_method(
        self, method: MethodReference, *, idempotency_key: str
    ) -> DetachOutcome:
        """Let go of it, for ever."""
        return await vault.detach(self._wire, method, idempotency_key)

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Take money off-session, or hold it, once per idempotency key."""
        return await payments.charge(self._wire, request, self._return_url)

    async def capture(self, request: CaptureRequest) -> Outcome:
        """Take what was held, once per idempotency key."""
        return await payments.capture(self._wire, request)

    async def void(self, request: VoidRequest) -> VoidOutcome:
        """Give up what was held or waits for the customer."""
        return await payments.void(self._wire, request)

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back, once per idempotency key."""
        return await refunds.refund(self._wire, request)

    async def find_payment(self, query: PaymentQuery) -> PaymentLookup:
        """How the charge with our reference stands now."""
        return await lookups.find_payment(self._wire, query)

    async def fetch_payment(self, gateway_reference: str) -> PaymentLookup:
        """How a payment stands now."""
        return await lookups.fetch_payment(self._wire, gateway_reference)

    async def find_refund(self, query: RefundQuery) -> RefundLookup:
        """How the refund with our reference stands now."""
        return await lookups.find_refund(self._wire, query)

    async def fetch_refund(
        self, gateway_reference: str, payment_reference: str | None = None
    ) -> RefundLookup:
        """How a refund stands now."""
        del payment_reference  # Stripe knows its refunds by themselves
        return await lookups.fetch_refund(self._wire, gateway_reference)

    async def fetch_dispute(self, gateway_reference: str) -> DisputeLookup:
        """How a dispute stands now."""
        return await lookups.fetch_dispute(self._wire, gateway_reference)

    def list_transactions(self, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
        """Every charge and refund made in the window, each once."""
        return books.list_transactions(self._wire, window)

    def list_disputes(self, window: TimeWindow) -> AsyncIterator[DisputeReport]:
        """Every dispute opened or changed in the window."""
        return books.list_disputes(self._wire, window)

    async def check_credentials(self) -> CredentialCheck:
        """Whether Stripe accepts the key, for payments too."""
        try:
            said = await self._wire.get(Page, payments.PATH, {"limit": 1})
        except AuthenticationError:
            return CredentialCheck.REFUSED
        return CredentialCheck.VALID if isinstance(said, Page) else CredentialCheck.UNREACHABLE

    async def verify_webhook(self, delivery: WebhookDelivery) -> tuple[GatewayEvent, ...]:
        """What a delivery is about, once it is proved to be Stripe's and for this account."""
        secrets, mode = self._account.webhook_secrets, self._account.mode
        return (webhooks.verified(delivery, secrets, mode),)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._wire.aclose()
