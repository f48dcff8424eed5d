"""Start the fake Razorpay as its own process, and ask its books, past the adapter."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from app import ids
from app.clock import SystemClock
from app.gateways.base import AccountMode, AccountSettings
from app.gateways.reports import WebhookDelivery
from app.gateways.requests import ChargeRequest, CustomerDetails, RefundRequest
from tests.gateways.fakes.razorpay.books import ACCOUNT
from tests.gateways.fakes.razorpay.server import KEY_ID, SECRET
from tests.simulator import ROOT, START_SECONDS, STARTS_MAX, free_port, stop

WEBHOOK_SECRET = "fake_webhook_secret"
CUSTOMER = CustomerDetails("cus_4711", "gaurav.kumar@example.com", "Gaurav Kumar", "+919876543210")


@dataclass
class RazorpayFake:
    """A running fake."""

    url: str
    process: subprocess.Popen[bytes]
    client: httpx.Client

    def ask(self, what: str) -> Any:
        answer = self.client.get(f"/fake/{what}")
        assert answer.is_success, answer.text
        return answer.json()

    def tell(self, what: str, **body: Any) -> Any:
        answer = self.client.post(f"/fake/{what}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    # ── the books ─────────────────────────────────────────────────────────────────────────────────

    def moved(self, kind: str, reference: str | None = None) -> int:
        """What really moved that way, in minor units."""
        return sum(one["amount"] for one in self.entries(kind, reference))

    def entries(self, kind: str, reference: str | None = None) -> list[dict[str, Any]]:
        return [
            one
            for one in self.ask("moved")
            if one["kind"] == kind and reference in (None, one["reference"])
        ]

    def violations(self) -> list[str]:
        found: list[str] = self.ask("violations")
        return found

    # ── what happens there ────────────────────────────────────────────────────────────────────────

    def customer(self) -> str:
        """A customer of their own."""
        answer = self.client.post(
            "/v1/customers",
            auth=(KEY_ID, SECRET),
            json={
                "name": "Gaurav Kumar",
                "email": f"{ids.new_id().hex}@example.com",
                "contact": "+919876543210",
                "fail_existing": "0",
            },
        )
        assert answer.is_success, answer.text
        id_: str = answer.json()["id"]
        return id_

    def token(self, customer: str, behaviour: str = "ok", method: str = "card", **more: Any) -> str:
        """A payment method that is kept there, and behaves so when it is charged."""
        body = {"customer_id": customer, "method": method, "behaviour": behaviour, **more}
        id_: str = self.tell("token", **body)["id"]
        return id_

    def fault(self, kind: str, **fields: Any) -> None:
        self.tell("faults", faults=[{"kind": kind, **fields}])

    def fair(self) -> None:
        self.tell("faults", faults=[])
        self.tell("settings", settle_seconds=0, unlisted_seconds=0, tells_customers=True)

    def advance(self, **parts: float) -> None:
        """Time passes there: days=, hours=, seconds=."""
        per = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
        self.tell("advance", seconds=sum(per[name] * value for name, value in parts.items()))

    def deliveries(self) -> list[WebhookDelivery]:
        """What it has told, as it travels."""
        at = SystemClock().now()
        return [
            WebhookDelivery(one["headers"], one["body"].encode(), at) for one in self.ask("events")
        ]

    def account(self, **changes: Any) -> AccountSettings:
        account = AccountSettings(
            AccountMode.TEST,
            credentials={"key_secret": SecretStr(SECRET)},
            options={"key_id": KEY_ID, "account_id": ACCOUNT},
            webhook_secrets=(SecretStr(WEBHOOK_SECRET),),
            base_url=self.url,
            total_timeout_seconds=20,
        )
        return replace(account, **changes)


def charge_of(customer: str, token: str, amount: int = 49_900, **changes: Any) -> ChargeRequest:
    """A charge that nobody has made before."""
    code = ids.show("x", ids.new_id())[-20:]
    request = ChargeRequest(
        attempt_code=code,
        idempotency_key=f"perennial-{code}",
        amount_minor=amount,
        currency="INR",
        payment_method_reference=token,
        invoice_number="INV-000042",
        description="Invoice INV-000042",
        customer_reference=customer,
        customer=CUSTOMER,
    )
    return replace(request, **changes)


def refund_of(payment: str, amount: int, currency: str = "INR") -> RefundRequest:
    """A refund that nobody has asked for before."""
    code = ids.show("x", ids.new_id())[-20:]
    return RefundRequest(code, f"perennial-{code}", payment, amount, currency)


def launch(port: int, log: Path) -> tuple[subprocess.Popen[bytes], httpx.Client]:
    """The process and a client, once it answers; ChildProcessError if it dies before that."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.gateways.fakes.razorpay", str(port)],
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
    raise ChildProcessError(f"the fake did not start: {log.read_text()[-2000:]}")


@contextmanager
def start_razorpay(tmp_path: Path) -> Iterator[RazorpayFake]:
    """A fake of your own, stopped at the end."""
    for start in range(STARTS_MAX):
        port = free_port()
        try:
            process, client = launch(port, tmp_path / "razorpay.log")
            break
        except ChildProcessError:
            if start == STARTS_MAX - 1:
                raise
    try:
        yield RazorpayFake(f"http://127.0.0.1:{port}", process, client)
    finally:
        client.close()
        stop(process)
