"""Start our Stripe as its own process, and ask its books, past the adapter."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from iso4217 import Currency
from pydantic import SecretStr

from app import ids
from app.clock import SystemClock
from app.gateways.base import AccountMode, AccountSettings
from app.gateways.reports import WebhookDelivery
from app.gateways.requests import ChargeRequest, CustomerDetails, RefundRequest
from app.gateways.stripe import StripeGateway
from tests.simulator import ROOT, START_SECONDS, STARTS_MAX, free_port, stop

KEY = "sk_test_fake"
WEBHOOK_SECRET = "whsec_fake_present"
CUSTOMER = CustomerDetails("cus_ours_4711", "jenny.rosen@example.com", "Jenny Rosen", country="US")
WHOLE_UNITS = frozenset(
    """
    bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf
    """.split()  # noqa: SIM905
)
THOUSANDTHS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


def major(amount: int, currency: str) -> Decimal:
    """An amount in Stripe's books in whole units of its currency."""
    places = 0 if currency in WHOLE_UNITS else 3 if currency in THOUSANDTHS else 2
    return Decimal(amount).scaleb(-places)


def minor(amount: int, currency: str) -> int:
    """An amount in Stripe's books in minor units as the standard has them."""
    whole = major(amount, currency).scaleb(Currency(currency.upper()).exponent or 0)
    assert whole == int(whole), f"{amount} {currency} is no whole number of minor units"
    return int(whole)


@dataclass
class StripeFake:
    """A running Stripe of ours."""

    url: str
    process: subprocess.Popen[bytes]
    client: httpx.Client

    def ask(self, what: str, **query: Any) -> Any:
        answer = self.client.get(f"/fake/{what}", params=query)
        assert answer.is_success, answer.text
        return answer.json()

    def tell(self, what: str, **body: Any) -> Any:
        answer = self.client.post(f"/fake/{what}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    # ── the books ─────────────────────────────────────────────────────────────────────────────────

    def moved(self, kind: str, reference: str | None = None) -> int:
        """What really moved that way, in minor units."""
        return sum(minor(one["amount"], one["currency"]) for one in self.entries(kind, reference))

    def entries(self, kind: str, reference: str | None = None) -> list[dict[str, Any]]:
        return [
            one
            for one in self.ask("moved")
            if one["kind"] == kind and reference in (None, one["reference"])
        ]

    def faults_found(self) -> list[str]:
        found: list[str] = self.ask("faults_found")
        return found

    # ── the world around it ───────────────────────────────────────────────────────────────────────

    def customer(self) -> str:
        made: str = self.tell("customer", name="Jenny Rosen")["id"]
        return made

    def method(self, behaves_like: str = "pm_card_visa", customer: str | None = None) -> str:
        """A payment method of a customer, which behaves like one of the named ones."""
        made: str = self.tell(
            "payment_method", behaves_like=behaves_like, customer=customer or self.customer()
        )["id"]
        return made

    def owner(self, method: str) -> str:
        """Whose it is."""
        [found] = [o for o in self.ask("objects", kind="payment_method") if o["id"] == method]
        owner: str = found["customer"]
        return owner

    def set_fault(self, kind: str, *, seed: int = 0, **fields: Any) -> None:
        self.tell("faults", seed=seed, faults=[{"kind": kind, **fields}])

    def clear_faults(self) -> None:
        self.tell("faults")

    def script(self, **answer: Any) -> None:
        """The next request (of an `operation`) is answered so, after its `effect` or without."""
        self.tell("script", **answer)

    def deliveries(self, *secrets: str, **query: Any) -> list[WebhookDelivery]:
        """Everything that happened, as Stripe would deliver it now."""
        self.tell("webhook_endpoint", secrets=secrets or [WEBHOOK_SECRET])
        now = SystemClock().now()
        return [
            WebhookDelivery(one["headers"], one["body"].encode(), now)
            for one in self.ask("deliveries", **query)
        ]

    # ── our side ──────────────────────────────────────────────────────────────────────────────────

    def account(self, **changes: Any) -> AccountSettings:
        given = AccountSettings(
            AccountMode.TEST,
            credentials={"secret_key": SecretStr(KEY)},
            options={"publishable_key": "pk_test_fake"},
            webhook_secrets=(SecretStr(WEBHOOK_SECRET),),
            base_url=self.url,
            total_timeout_seconds=20,
        )
        return replace(given, **changes)

    def open(self, **changes: Any) -> StripeGateway:
        return StripeGateway(self.account(**changes))


def new_code() -> str:
    return ids.show("x", ids.new_id())[-20:]


def charge_of(
    fake: StripeFake,
    behaves_like: str = "pm_card_visa",
    amount_minor: int = 1999,
    currency: str = "EUR",
    **more: Any,
) -> ChargeRequest:
    """A charge that nobody has made before, on a payment method of a new customer."""
    code, customer = new_code(), fake.customer()
    request = ChargeRequest(
        attempt_code=code,
        idempotency_key=f"att_{code}",
        amount_minor=amount_minor,
        currency=currency,
        payment_method_reference=fake.method(behaves_like, customer),
        invoice_number="INV-000042",
        description="Invoice INV-000042",
        customer_reference=customer,
    )
    return replace(request, **more)


def refund_of(payment: str, amount_minor: int, currency: str = "EUR") -> RefundRequest:
    """A refund that nobody has asked for before."""
    code = new_code()
    return RefundRequest(code, f"re_{code}", payment, amount_minor, currency)


def launch(port: int, log: Path) -> tuple[subprocess.Popen[bytes], httpx.Client]:
    """The process and a client, once it answers; ChildProcessError if it dies before that."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.gateways.fakes.stripe", str(port)],
            cwd=ROOT,
            stderr=errors,
        )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.get("/livez").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return process, client
    client.close()
    process.kill()
    process.wait()
    raise ChildProcessError(f"our Stripe did not start: {log.read_text()[-2000:]}")


@contextmanager
def start_stripe(tmp_path: Path) -> Iterator[StripeFake]:
    """A Stripe of your own, stopped at the end."""
    for start in range(STARTS_MAX):
        port = free_port()
        try:
            process, client = launch(port, tmp_path / "stripe.log")
            break
        except ChildProcessError:
            # Somebody else may have taken the port between our look and the start.
            if start == STARTS_MAX - 1:
                raise
    try:
        yield StripeFake(f"http://127.0.0.1:{port}", process, client)
    finally:
        client.close()
        stop(process)
