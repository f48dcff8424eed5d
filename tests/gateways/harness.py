"""Requests that nobody has made before, and an account at the tests' simulator."""

from pydantic import SecretStr

from app import ids
from app.gateways.base import AccountMode, AccountSettings, Gateway
from app.gateways.registry import open_gateway
from app.gateways.requests import ChargeRequest, RefundRequest
from tests.simulator import SECRET, SimulatorProcess


def at_simulator(process: SimulatorProcess, total_timeout_seconds: int = 20) -> Gateway:
    """An open account at this simulator."""
    account = AccountSettings(
        AccountMode.TEST,
        credentials={"secret_key": SecretStr(SECRET)},
        base_url=process.url,
        total_timeout_seconds=total_timeout_seconds,
    )
    return open_gateway("simulator", account)


def charge_of(token: str, amount_minor: int = 1999, currency: str = "EUR") -> ChargeRequest:
    """A charge that nobody has made before."""
    code = ids.show("att", ids.new_id())
    return ChargeRequest(
        attempt_code=code,
        idempotency_key=code,
        amount_minor=amount_minor,
        currency=currency,
        payment_method_reference=token,
        invoice_number="INV-000042",
        description="Team plan, May",
        customer_reference="cus_4711",
    )


def refund_of(payment: str, amount_minor: int, currency: str = "EUR") -> RefundRequest:
    """A refund that nobody has asked for before."""
    code = ids.show("re", ids.new_id())
    return RefundRequest(
        refund_code=code,
        idempotency_key=code,
        payment_reference=payment,
        amount_minor=amount_minor,
        currency=currency,
    )
