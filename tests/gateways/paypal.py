"""The fake PayPal as a process, and accounts at it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from app.clock import SystemClock
from app.domain.currency import exponent
from app.gateways.base import AccountMode, AccountSettings
from app.gateways.paypal.gateway import PayPalGateway
from app.gateways.reports import WebhookDelivery
from tests.gateways.fakes.paypal.control import WEBHOOK_ID
from tests.gateways.fakes.paypal.server import CLIENT_ID, CLIENT_SECRET
from tests.simulator import ROOT, START_SECONDS, STARTS_MAX, free_port, stop


@dataclass
class PayPalProcess:
    """A running fake; everything here speaks to it past the adapter under test."""

    url: str
    process: subprocess.Popen[bytes]
    client: httpx.Client

    def fake(self, method: str, path: str, content: Any = None, **query: str) -> Any:
        answer = self.client.request(method, f"/_fake/{path}", json=content, params=query)
        assert answer.is_success, answer.text
        return answer.json()

    def account(self, **given: Any) -> AccountSettings:
        """An account at the fake; it gives up early."""
        options = {"client_id": CLIENT_ID, "webhook_id": WEBHOOK_ID} | given.pop("options", {})
        return AccountSettings(
            AccountMode.TEST,
            credentials={"client_secret": SecretStr(given.pop("secret", CLIENT_SECRET))},
            options=options,
            base_url=given.pop("base_url", self.url),
            total_timeout_seconds=given.pop("total_timeout_seconds", 20),
            **given,
        )

    def open(self, **given: Any) -> PayPalGateway:
        return PayPalGateway(self.account(**given))

    def set_faults(self, *faults: dict[str, Any]) -> None:
        self.fake("PUT", "faults", faults)

    def set_fault(self, kind: str, **fields: Any) -> None:
        self.set_faults({"kind": kind, **fields})

    def clear_faults(self) -> None:
        self.fake("PUT", "faults", [])

    def turn(self, **settings: Any) -> None:
        self.fake("PUT", "settings", settings)

    def reset(self) -> None:
        """Empty books, fair weather, the usual settings, and nothing heard yet."""
        self.fake("POST", "reset")

    def ledger(self, reference: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.fake("GET", "ledger", reference=reference)
        return rows

    def moved(self, reference: str, kind: str) -> dict[str, int]:
        """What really moved under one code, in minor units by currency."""
        totals: dict[str, int] = {}
        for row in self.ledger(reference):
            if row["kind"] == kind and row["moved"]:
                minor = Decimal(row["value"]).scaleb(exponent(row["currency"]))
                assert minor == int(minor)
                totals[row["currency"]] = totals.get(row["currency"], 0) + int(minor)
        return totals

    def charged(self, reference: str) -> int:
        return sum(self.moved(reference, "capture").values())

    def refunded(self, reference: str) -> int:
        return sum(self.moved(reference, "refund").values())

    def calls(self, *paths: str) -> list[dict[str, Any]]:
        """What was asked of it: all, or what went to paths that begin so."""
        calls: list[dict[str, Any]] = self.fake("GET", "calls")
        return [call for call in calls if not paths or call["path"].startswith(paths)]

    def violations(self) -> list[str]:
        found: list[str] = self.fake("GET", "violations")
        return found

    def approve(self, setup_token: str, **query: str) -> httpx.Response:
        """The customer agrees on PayPal's page."""
        params = {"approval_session_id": setup_token} | query
        return self.client.post("/agreements/approve", params=params)

    def event(self, type: str, kind: str, own_id: str, **given: Any) -> WebhookDelivery:
        """A delivery that PayPal would make about an object, with its signature."""
        said = self.fake("POST", "events", {"type": type, "kind": kind, "id": own_id} | given)
        now = SystemClock().now()
        return WebhookDelivery(said["headers"], said["body"].encode(), now)

    def put_certificate(self, name: str, pem: bytes, **given: Any) -> None:
        self.fake("PUT", f"certificates/{quote(name)}", {"pem": pem.decode(), **given})


def launch(port: int, log_path: Path) -> PayPalProcess:
    """The process, once it answers; ChildProcessError if it dies before that."""
    command = [sys.executable, "-m", "tests.gateways.fakes.paypal", "--port", str(port)]
    with log_path.open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stderr=log)
    url = f"http://127.0.0.1:{port}"
    client = httpx.Client(base_url=url, trust_env=False, timeout=30)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.get("/_fake/livez").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return PayPalProcess(url, process, client)
    client.close()
    process.kill()
    process.wait()
    raise ChildProcessError(f"the fake PayPal did not start: {log_path.read_text()[-2000:]}")


@contextmanager
def start_paypal(tmp_path: Path) -> Iterator[PayPalProcess]:
    """A fake of your own, stopped at the end."""
    for start in range(STARTS_MAX):
        try:
            fake = launch(free_port(), tmp_path / "paypal.log")
            break
        except ChildProcessError:
            # Somebody else may have taken the port between our look and the start.
            if start == STARTS_MAX - 1:
                raise
    try:
        yield fake
    finally:
        fake.client.close()
        stop(fake.process)
