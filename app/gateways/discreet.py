"""What a gateway says, before anybody hears it: no card number in it, and none of our own secrets.

A gateway, or a person at its dashboard, may put either into any word: a decline's code, an error's
parameter, a bank's name, an id. Words for people and codes are masked. What is of use only if it is
exact is left out where the engine can do without it (`PROOFS`); where it cannot (`NAMES`), the
answer counts as unreadable, and so proves nothing.
"""

import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, Final, TypeVar, cast

from app import log
from app.domain.dispute import DisputeLookup, DisputeReport
from app.domain.outcome import (
    Found,
    Inconclusive,
    Outcome,
    PaymentLookup,
    RefundLookup,
    RefundOutcome,
    Unknown,
    VoidOutcome,
)
from app.domain.vault import CustomerOutcome, DetachOutcome, MethodLookup, SetupOutcome
from app.gateways.base import (
    AccountSettings,
    CredentialCheck,
    Gateway,
    GatewayError,
    InvalidRequestError,
    ListingFailed,
    WebhookRefused,
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
from app.redaction import MASK, looks_like_card, masked

SECRET_CHARS_MIN: Final = 8
"""Shorter ones are words that anybody may say: masking those would only spoil what is said."""
NAME_DIGITS_MIN: Final = 13
"""Names of twelve digits are usual (Authorize.net's), and one of them may look like a card's."""
NETWORK_DIGITS: Final = frozenset({12, 15})
"""Of the names that banks and Visa give to transactions: some look like a card's, by chance."""
LAST_FOUR: Final = 4
NAMES: Final = frozenset(
    """
    gateway_reference reference customer_reference payment_reference others id
    client_secret redirect_url action_url parameters
    """.split()  # noqa: SIM905  one word each, read at a glance
)
"""Fields that are handed on as they are, or the whole answer is not."""
PROOFS: Final = frozenset({"network_transaction_id", "fingerprint", "last_four"})
UNREADABLE: Final = "card_number_or_secret_in_answer"

Said = TypeVar("Said")


class Unspeakable(Exception):
    """A name that must not be kept: it could be a card's number, or is a secret of ours."""


class AdapterFault(Exception):
    """An adapter failed over what must not be repeated; only the kind of its error is told."""


class Discretion:
    """What of one account is never repeated: its secrets, and whatever looks like a card number."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        long = {secret.strip() for secret in secrets}
        self._secrets = tuple(sorted(s for s in long if len(s) >= SECRET_CHARS_MIN))

    @classmethod
    def of(cls, account: AccountSettings) -> "Discretion":
        """The discretion that an account asks for: also of its secrets as HTTP spells them."""
        keys = [secret.get_secret_value() for secret in account.credentials.values()]
        pairs = (f"{name}:{key}" for key in keys for name in ("", *account.options.values()))
        spelled = [b64encode(pair.encode()).decode() for pair in (*pairs, *(f"{k}:" for k in keys))]
        signed = (secret.get_secret_value() for secret in account.webhook_secrets)
        return cls((*keys, *spelled, *signed))

    def masked(self, text: str) -> str:
        """`text` without card numbers, gateways' keys, and this account's own secrets."""
        return masked(self._without_secrets(text))

    def masked_bytes(self, text: bytes) -> bytes:
        """What is kept of a delivery, without this account's own secrets."""
        for secret in self._secrets:
            text = text.replace(secret.encode(), MASK.encode())
        return text

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Within the block no log repeats this account's secrets either."""
        token = log.CONCEALED.set(self._secrets)
        try:
            yield
        finally:
            log.CONCEALED.reset(token)

    def told(self, value: Said) -> Said:
        """An adapter's value as it may be heard. Raises Unspeakable."""
        return cast("Said", self._cleaned(value, ""))

    def _cleaned(self, value: Any, name: str) -> Any:
        match value:
            case Enum():
                return value
            case str():
                return self._word(value, name)
            case Mapping():
                return {self._word(key, name): self._cleaned(v, name) for key, v in value.items()}
            case tuple():
                return tuple(self._cleaned(each, name) for each in value)
            case _ if is_dataclass(value) and not isinstance(value, type):
                before = {each.name: getattr(value, each.name) for each in fields(value)}
                ours = {"reference": "our_reference"} if isinstance(value, Found) else {}
                after = {n: self._cleaned(part, ours.get(n, n)) for n, part in before.items()}
                changed = {name: part for name, part in after.items() if part != before[name]}
                return replace(value, **changed) if changed else value
            case _:
                return value

    def _word(self, text: str, name: str) -> str | None:
        if name in PROOFS:
            return text if self._proves(text, name) else None
        if name in NAMES:
            if self._without_secrets(text) != text or _could_be_a_card(text):
                raise Unspeakable
            return text
        return self.masked(text)

    def _proves(self, text: str, name: str) -> bool:
        if name == "last_four":
            return len(text) <= LAST_FOUR
        is_by_chance = text.isdecimal() and len(text) in NETWORK_DIGITS
        return self.masked(text) == text or is_by_chance

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def fault(self, error: Exception) -> Exception:
        """An adapter's exception as it may be raised on: one of ours with its words masked, any
        other as it is unless it repeats a secret.
        """
        if isinstance(error, GatewayError):
            error.args = tuple(self.masked(str(part)) for part in error.args)
            if isinstance(error, InvalidRequestError):
                error.code = None if error.code is None else self.masked(error.code)
                error.param = None if error.param is None else self.masked(error.param)
            return error
        said = "".join(traceback.format_exception(error))
        if self.masked(said) == said:
            return error
        return AdapterFault(type(error).__name__).with_traceback(error.__traceback__)


def _could_be_a_card(text: str) -> bool:
    return sum(map(str.isdigit, text)) >= NAME_DIGITS_MIN and looks_like_card(text)


class Discreet:
    """A gateway's account that says nothing which must not be kept."""

    def __init__(self, gateway: Gateway, discretion: Discretion) -> None:
        self._gateway = gateway
        self._discretion = discretion

    @property
    def name(self) -> str:
        """The gateway's own."""
        return self._gateway.name

    @property
    def capabilities(self) -> Capabilities:
        """The account's own."""
        return self._gateway.capabilities

    async def _heard(self, call: Awaitable[Said]) -> Said:
        """Raises Unspeakable, and what the adapter raises, masked."""
        with self._discretion.kept():
            try:
                return self._discretion.told(await call)
            except Unspeakable:
                raise
            except Exception as error:
                raise self._discretion.fault(error) from None

    async def _act(self, call: Awaitable[Said]) -> Said | Unknown:
        try:
            return await self._heard(call)
        except Unspeakable:
            return Unknown(UNREADABLE)

    async def _look(self, call: Awaitable[Said]) -> Said | Inconclusive:
        try:
            return await self._heard(call)
        except Unspeakable:
            return Inconclusive(UNREADABLE)

    async def _list(self, listing: AsyncIterator[Said]) -> AsyncIterator[Said]:
        end = object()
        step: Callable[[], Awaitable[Any]] = lambda: anext(listing, end)  # noqa: E731
        while (each := await self._listed(step())) is not end:
            yield each

    async def _listed(self, step: Awaitable[Said]) -> Said:
        try:
            return await self._heard(step)
        except Unspeakable:
            raise ListingFailed(UNREADABLE) from None

    async def create_customer(self, request: CustomerRequest) -> CustomerOutcome:
        """Discreetly."""
        return await self._act(self._gateway.create_customer(request))

    async def start_setup(self, request: SetupRequest) -> SetupOutcome:
        """Discreetly."""
        return await self._act(self._gateway.start_setup(request))

    async def complete_setup(self, request: SetupCompletion) -> SetupOutcome:
        """Discreetly."""
        return await self._act(self._gateway.complete_setup(request))

    async def get_payment_method(self, method: MethodReference) -> MethodLookup:
        """Discreetly."""
        return await self._look(self._gateway.get_payment_method(method))

    async def detach_payment_method(
        self, method: MethodReference, *, idempotency_key: str
    ) -> DetachOutcome:
        """Discreetly."""
        call = self._gateway.detach_payment_method(method, idempotency_key=idempotency_key)
        return await self._act(call)

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Discreetly."""
        return await self._act(self._gateway.charge(request))

    async def capture(self, request: CaptureRequest) -> Outcome:
        """Discreetly."""
        return await self._act(self._gateway.capture(request))

    async def void(self, request: VoidRequest) -> VoidOutcome:
        """Discreetly."""
        return await self._act(self._gateway.void(request))

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Discreetly."""
        return await self._act(self._gateway.refund(request))

    async def find_payment(self, query: PaymentQuery) -> PaymentLookup:
        """Discreetly."""
        return await self._look(self._gateway.find_payment(query))

    async def fetch_payment(self, gateway_reference: str) -> PaymentLookup:
        """Discreetly."""
        return await self._look(self._gateway.fetch_payment(gateway_reference))

    async def find_refund(self, query: RefundQuery) -> RefundLookup:
        """Discreetly."""
        return await self._look(self._gateway.find_refund(query))

    async def fetch_refund(
        self, gateway_reference: str, payment_reference: str | None = None
    ) -> RefundLookup:
        """Discreetly."""
        return await self._look(self._gateway.fetch_refund(gateway_reference, payment_reference))

    async def fetch_dispute(self, gateway_reference: str) -> DisputeLookup:
        """Discreetly."""
        return await self._look(self._gateway.fetch_dispute(gateway_reference))

    def list_transactions(self, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
        """Discreetly."""
        return self._list(self._gateway.list_transactions(window))

    def list_disputes(self, window: TimeWindow) -> AsyncIterator[DisputeReport]:
        """Discreetly."""
        return self._list(self._gateway.list_disputes(window))

    async def check_credentials(self) -> CredentialCheck:
        """Discreetly."""
        return await self._heard(self._gateway.check_credentials())

    async def verify_webhook(self, delivery: WebhookDelivery) -> tuple[GatewayEvent, ...]:
        """Discreetly: what names something by a card number is refused."""
        try:
            return await self._heard(self._gateway.verify_webhook(delivery))
        except Unspeakable:
            raise WebhookRefused("The delivery names something by a card number.") from None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._gateway.aclose()
