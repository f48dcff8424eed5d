"""One account at PayPal: the adapter, every verb of it."""

import re
from collections.abc import AsyncIterator
from typing import ClassVar, Final

from app.clock import Clock, SystemClock
from app.domain.dispute import DisputeLookup, DisputeReport
from app.domain.outcome import (
    Outcome,
    PaymentLookup,
    RefundLookup,
    RefundOutcome,
    VoidOutcome,
)
from app.domain.vault import (
    CustomerOutcome,
    DetachOutcome,
    MethodLookup,
    SetupFlow,
    SetupOutcome,
)
from app.gateways.base import (
    AccountMode,
    AccountSettings,
    AuthenticationError,
    ConfigurationError,
    CredentialCheck,
    CredentialField,
)
from app.gateways.capabilities import AmountFormat, Capabilities, NativeKey, News
from app.gateways.paypal import disputes, lookups, refunds, reports, vault, voids
from app.gateways.paypal.amounts import CURRENCIES
from app.gateways.paypal.certificates import TrustBundle, mozilla
from app.gateways.paypal.charges import Charges
from app.gateways.paypal.lookups import Search
from app.gateways.paypal.references import Reference
from app.gateways.paypal.session import TOKEN_TIMEOUT_SECONDS, Session
from app.gateways.paypal.vault import Vault
from app.gateways.paypal.webhooks import Certificates, Webhooks
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
from app.http import HttpClient

ADDRESSES: Final = {
    AccountMode.LIVE: "https://api-m.paypal.com",
    AccountMode.TEST: "https://api-m.sandbox.paypal.com",
}
HOUR: Final = 3_600
DAY: Final = 24 * HOUR
CLIENT_ID: Final = r"[A-Za-z0-9_-]{10,128}"
WEBHOOK_ID: Final = re.compile(r"[A-Za-z0-9_]{1,50}", re.ASCII)


class PayPalGateway:
    """One merchant's REST app at PayPal."""

    name: ClassVar[str] = "paypal"
    capabilities: ClassVar[Capabilities] = Capabilities(
        charge_repeatability=NativeKey(ttl_seconds=6 * HOUR, margin_seconds=HOUR),
        capture_repeatability=NativeKey(ttl_seconds=45 * DAY, margin_seconds=DAY),
        refund_repeatability=NativeKey(ttl_seconds=45 * DAY, margin_seconds=DAY),
        setup_repeatability=NativeKey(ttl_seconds=3 * HOUR, margin_seconds=HOUR // 2),
        lookup_freshness_seconds=DAY,
        effect_latest_seconds=HOUR,
        reference_length_max=127,
        amount_format=AmountFormat.DECIMAL_STRING,
        setup_flow=SetupFlow.REDIRECT,
        currencies=CURRENCIES,
        pending_seconds_max=14 * DAY,
        disputes=News.WEBHOOK,
        method_updates=News.WEBHOOK,
        in_flight_max=30,
    )
    fields: ClassVar[tuple[CredentialField, ...]] = (
        CredentialField(
            "client_id", "The REST app's client id.", is_secret=False, pattern=CLIENT_ID
        ),
        CredentialField("client_secret", "The REST app's secret."),
        CredentialField(
            "webhook_id",
            "The id of the app's webhook; without it deliveries are refused.",
            is_secret=False,
            is_required=False,
            pattern=WEBHOOK_ID.pattern,
        ),
        CredentialField(
            "webhook_trust_bundle",
            "PEM: the certificates between a trusted root and PayPal's, roots of your own, and "
            "revocation lists. Without it every delivery is verified by asking PayPal.",
            is_secret=False,
            is_required=False,
        ),
    )

    def __init__(self, account: AccountSettings, clock: Clock | None = None) -> None:
        client_id = account.options.get("client_id")
        client_secret = account.credentials.get("client_secret")
        if not client_id or not re.fullmatch(CLIENT_ID, client_id) or client_secret is None:
            raise ConfigurationError("PayPal needs the client id and the secret of a REST app.")
        address = account.base_url or ADDRESSES[account.mode]
        self._search = Search(clock or SystemClock(), account.mode is AccountMode.TEST)
        connect = account.connect_timeout_seconds
        total = account.total_timeout_seconds
        http = HttpClient(
            address, headers={}, connect_timeout_seconds=connect, total_timeout_seconds=total
        )
        tokens = HttpClient(
            address,
            headers={},
            connect_timeout_seconds=connect,
            total_timeout_seconds=min(total, TOKEN_TIMEOUT_SECONDS),
        )
        self._session = Session(http, tokens, client_id, client_secret)
        self._charges = Charges(self._session)
        self._vault = Vault(self._session, client_id)
        self._certificates = Certificates(account.mode, account.base_url)
        self._webhooks = Webhooks(
            self._session, self._certificates, account.mode, _bundle(account), _webhook_ids(account)
        )

    async def create_customer(self, request: CustomerRequest) -> CustomerOutcome:
        """PayPal makes a customer of its own with the first payment method."""
        return vault.create_customer(request)

    async def start_setup(self, request: SetupRequest) -> SetupOutcome:
        """A setup token and the page where the customer approves it."""
        return await self._vault.start_setup(request)

    async def complete_setup(self, request: SetupCompletion) -> SetupOutcome:
        """The payment token of a set-up that the customer has approved."""
        return await self._vault.complete_setup(request)

    async def get_payment_method(self, method: MethodReference) -> MethodLookup:
        """How PayPal keeps it now."""
        return await self._vault.get_payment_method(method)

    async def detach_payment_method(
        self, method: MethodReference, *, idempotency_key: str
    ) -> DetachOutcome:
        """Delete it from the vault; deleting again is no different, so that no key is needed."""
        del idempotency_key
        return await self._vault.detach(method)

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Take money off-session, or hold it, once per idempotency key."""
        return await self._charges.charge(request)

    async def capture(self, request: CaptureRequest) -> Outcome:
        """Take what was held, once per idempotency key."""
        return await self._charges.capture(request)

    async def void(self, request: VoidRequest) -> VoidOutcome:
        """Give up what was held or waits for the customer."""
        return await voids.void(self._session, request)

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back, once per idempotency key."""
        return await refunds.refund(self._session, request)

    async def find_payment(self, query: PaymentQuery) -> PaymentLookup:
        """How the charge with our reference stands: at once where PayPal's own id is known."""
        return await lookups.find_payment(self._session, query, self._search)

    async def fetch_payment(self, gateway_reference: str) -> PaymentLookup:
        """How the charge that PayPal calls so stands."""
        return await lookups.fetch_payment(self._session, Reference.parse(gateway_reference))

    async def find_refund(self, query: RefundQuery) -> RefundLookup:
        """How the refund with our reference stands: at once where its payment is known."""
        return await lookups.find_refund(self._session, query, self._search)

    async def fetch_refund(
        self, gateway_reference: str, payment_reference: str | None = None
    ) -> RefundLookup:
        """How the refund that PayPal calls so stands."""
        del payment_reference
        return await lookups.fetch_refund(self._session, gateway_reference)

    async def fetch_dispute(self, gateway_reference: str) -> DisputeLookup:
        """How a dispute stands now."""
        return await disputes.fetch(self._session, gateway_reference)

    def list_transactions(self, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
        """Every charge and refund of the window, as PayPal's report has them, hours behind."""
        return reports.transactions(self._session, window)

    def list_disputes(self, window: TimeWindow) -> AsyncIterator[DisputeReport]:
        """Every dispute opened or changed in the window; PayPal lists those of 180 days."""
        return disputes.listed(self._session, window)

    async def check_credentials(self) -> CredentialCheck:
        """Whether PayPal gives a token for them."""
        try:
            kept_from = await self._session.check()
        except AuthenticationError:
            return CredentialCheck.REFUSED
        return CredentialCheck.VALID if kept_from is None else CredentialCheck.UNREACHABLE

    async def verify_webhook(self, delivery: WebhookDelivery) -> tuple[GatewayEvent, ...]:
        """What a delivery is about, once it is proved to be PayPal's and for this webhook."""
        return await self._webhooks.verify(delivery)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.aclose()
        await self._certificates.aclose()


def _webhook_ids(account: AccountSettings) -> tuple[str, ...]:
    """The ids that deliveries may be for: those given as secrets, then the option."""
    ids = [secret.get_secret_value() for secret in account.webhook_secrets]
    option = account.options.get("webhook_id")
    if option:
        ids.append(option)
    if not all(map(WEBHOOK_ID.fullmatch, ids)):
        raise ConfigurationError("A webhook id of PayPal's is letters and digits.")
    return tuple(ids)


def _bundle(account: AccountSettings) -> TrustBundle:
    pem = account.options.get("webhook_trust_bundle")
    return TrustBundle.read(pem.encode()) if pem else mozilla()
