"""The Razorpay adapter: each verb in one line; how it is done stands in the file of its noun."""

from collections.abc import AsyncIterator
from typing import ClassVar, Final

from app.domain.dispute import DisputeLookup, DisputeReport
from app.domain.outcome import (
    Found,
    Inconclusive,
    Outcome,
    PaymentLookup,
    RefundLookup,
    RefundOutcome,
    VoidOutcome,
)
from app.domain.vault import CustomerOutcome, DetachOutcome, MethodLookup, SetupOutcome
from app.gateways.base import (
    AccountSettings,
    AuthenticationError,
    CredentialCheck,
)
from app.gateways.capabilities import Capabilities
from app.gateways.razorpay import charges, lists, outcomes, refunds, vault, webhooks
from app.gateways.razorpay.account import read_keys
from app.gateways.razorpay.wire import Wire, unfound
from app.gateways.razorpay.words import Dispute, Problem, read
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
from app.http import Answer

CHEAP: Final = {"count": "1"}


class RazorpayGateway:
    """One account at Razorpay."""

    name: ClassVar[str] = "razorpay"

    def __init__(self, account: AccountSettings) -> None:
        self._keys = read_keys(account)
        self._webhook_secrets = account.webhook_secrets
        self._wire = Wire(account, self._keys.key_id, self._keys.key_secret)

    @property
    def capabilities(self) -> Capabilities:
        """What may be relied on at this account: outside India nothing is announced."""
        return self._keys.capabilities

    async def create_customer(self, request: CustomerRequest) -> CustomerOutcome:
        """Make the customer known; one with the same details is found."""
        return await vault.create_customer(self._wire, request)

    async def start_setup(self, request: SetupRequest) -> SetupOutcome:
        """An order with the mandate's terms, and the parameters for Checkout."""
        return await vault.start_setup(self._wire, self._keys, request)

    async def complete_setup(self, request: SetupCompletion) -> SetupOutcome:
        """What became of a set-up, by its order's payments and the token they name."""
        return await vault.complete_setup(self._wire, self._keys, request)

    async def get_payment_method(self, method: MethodReference) -> MethodLookup:
        """How the token stands now."""
        return await vault.get_payment_method(self._wire, method)

    async def detach_payment_method(
        self,
        method: MethodReference,
        *,
        idempotency_key: str,  # noqa: ARG002  only the first time does anything
    ) -> DetachOutcome:
        """Cancel or delete the token; what is gone is gone."""
        return await vault.detach(self._wire, method)

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Ask for a recurring payment, on the one order that the attempt has."""
        return await charges.charge(self._wire, self._keys, request)

    async def capture(self, request: CaptureRequest) -> Outcome:
        """Take all of what was authorised."""
        return await charges.capture(self._wire, request)

    async def void(self, request: VoidRequest) -> VoidOutcome:
        """Say whether an authorisation has been given up; Razorpay has no such call."""
        return await charges.void(self._wire, request)

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back, once per idempotency key."""
        return await refunds.refund(self._wire, self._keys, request)

    async def find_payment(self, query: PaymentQuery) -> PaymentLookup:
        """How the charge with our reference stands now."""
        return await charges.find_payment(self._wire, query.reference)

    async def fetch_payment(self, gateway_reference: str) -> PaymentLookup:
        """How a payment stands now, or what there is on an order."""
        return await charges.fetch_payment(self._wire, gateway_reference)

    async def find_refund(self, query: RefundQuery) -> RefundLookup:
        """How the refund with our reference stands now."""
        return await refunds.find_refund(self._wire, query)

    async def fetch_refund(
        self,
        gateway_reference: str,
        payment_reference: str | None = None,  # noqa: ARG002  its own name is enough
    ) -> RefundLookup:
        """How a refund stands now."""
        return await refunds.fetch_refund(self._wire, gateway_reference)

    async def fetch_dispute(self, gateway_reference: str) -> DisputeLookup:
        """How a dispute stands now."""
        reply = await self._wire.look(f"/disputes/{gateway_reference}")
        match reply:
            case Answer():
                dispute = read(Dispute, reply)
                if dispute is None or dispute.id != gateway_reference:
                    return Inconclusive("unreadable_answer")
                return Found(outcomes.of_dispute(dispute))
            case Problem():
                return unfound(reply)
            case Inconclusive():
                return reply

    def list_transactions(self, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
        """Every payment and refund made in the window, each once."""
        return lists.transactions(self._wire, window)

    def list_disputes(self, window: TimeWindow) -> AsyncIterator[DisputeReport]:
        """Every dispute opened before the window ends."""
        return lists.disputes(self._wire, window)

    async def check_credentials(self) -> CredentialCheck:
        """Whether Razorpay accepts the key."""
        try:
            reply = await self._wire.look("/payments", CHEAP)
        except AuthenticationError:
            return CredentialCheck.REFUSED
        return CredentialCheck.VALID if isinstance(reply, Answer) else CredentialCheck.UNREACHABLE

    async def verify_webhook(self, delivery: WebhookDelivery) -> tuple[GatewayEvent, ...]:
        """What a delivery is about, once its signature and account are proved."""
        return webhooks.verify(delivery, self._webhook_secrets, self._keys.account_id)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._wire.aclose()
