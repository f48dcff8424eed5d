"""What the stories about Authorize.net are told in."""

from dataclasses import dataclass, replace
from typing import Any

from app import ids
from app.domain.outcome import Succeeded
from app.gateways.authorizenet.adapter import AuthorizeNetGateway
from app.gateways.base import AccountSettings
from app.gateways.requests import (
    ChargeRequest,
    CustomerDetails,
    RefundRequest,
    SetupCompletion,
)
from tests.gateways.fakes.authorizenet.process import FakeAuthorizeNet

ADA = CustomerDetails("cus_01k2ada0000000000000000000", "ada@example.com", "Ada Lovelace")
ACCEPT_JS = "COMMON.ACCEPT.INAPP.PAYMENT"


def code() -> str:
    """A reference that nobody has used: 20 characters."""
    return ids.show("x", ids.new_id())[-20:]


def impatient(settings: AccountSettings) -> AuthorizeNetGateway:
    """An account that gives up after a second, for faults that never answer."""
    return AuthorizeNetGateway(replace(settings, total_timeout_seconds=1))


@dataclass
class Shop:
    """A merchant's account, and its customers' cards."""

    fake: FakeAuthorizeNet
    gateway: AuthorizeNetGateway

    def request(self, behaves: str = "ok", amount: int = 1000, **more: Any) -> ChargeRequest:
        """A charge on a card that behaves so."""
        customer, method = self.fake.do("method", behaves=behaves)
        own = code()
        return ChargeRequest(
            **{
                "attempt_code": own,
                "idempotency_key": own,
                "amount_minor": amount,
                "currency": "USD",
                "payment_method_reference": method,
                "customer_reference": customer,
                "invoice_number": "INV-000042",
                "description": "Invoice INV-000042",
            }
            | more
        )

    async def charged(
        self, behaves: str = "ok", amount: int = 1000, *, settled: bool = False
    ) -> tuple[ChargeRequest, Succeeded]:
        request = self.request(behaves, amount)
        outcome = await self.gateway.charge(request)
        assert isinstance(outcome, Succeeded), outcome
        if settled:
            self.fake.do("settle")
        return request, outcome

    def refund(self, payment: Succeeded, amount: int, **more: Any) -> RefundRequest:
        own = code()
        return RefundRequest(
            **{
                "refund_code": own,
                "idempotency_key": own,
                "payment_reference": payment.gateway_reference,
                "amount_minor": amount,
                "currency": "USD",
            }
            | more
        )

    def completion(self, behaves: str = "ok", own: str | None = None, **more: Any):
        """A set-up whose customer has entered a card."""
        own = own or code()
        token = self.fake.do("token", behaves=behaves)
        return SetupCompletion(
            **{
                "setup_code": own,
                "idempotency_key": own,
                "gateway_reference": own,
                "customer": ADA,
                "parameters": {"dataDescriptor": ACCEPT_JS, "dataValue": token},
            }
            | more
        )

    def taken(self, request: ChargeRequest) -> str:
        """What the gateway's own books say was taken."""
        return self.fake.do("charged", reference=request.attempt_code)

    def given_back(self, request: RefundRequest) -> str:
        return self.fake.do("refunded", reference=request.refund_code)

    def asked(self) -> list[str]:
        """The names of the calls since the last time."""
        return [next(iter(each)) for each in self.fake.do("requests")]
