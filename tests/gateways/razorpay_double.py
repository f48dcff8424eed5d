"""Our Razorpay as far as the usual steps of a trial need it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.domain.vault import SetupStarted
from app.gateways.base import AccountSettings
from app.testing.harness import Behaviour, Kept, Sent, Trait, Verb
from tests.gateways.razorpay import CUSTOMER, RazorpayFake, start_razorpay

BEHAVIOURS = {Behaviour.OK: "ok", Behaviour.REFUND_FAILS: "refund_fails"}


@dataclass
class RazorpayDouble:
    """An account in which nothing is announced: debits happen at once."""

    fake: RazorpayFake
    gateway: str = "razorpay"
    currency: str = "INR"
    lacks: Mapping[Trait, str] = field(
        default_factory=lambda: {Trait.REQUIRES_ACTION: "recurring payments ask nobody"}
    )
    declines: Mapping[str, Any] = field(
        default_factory=lambda: {"insufficient_funds": None, "card_expired": None}
    )
    canned: Mapping[Any, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.fake.url

    def account(self, base_url: str) -> AccountSettings:
        given = self.fake.account(base_url=base_url)
        return replace(given, options={**given.options, "pre_debit_notice": "none"})

    def stranger(self, base_url: str) -> AccountSettings:
        wrong = {"key_secret": SecretStr("ofSomebodyWhomNobodyKnows")}
        return replace(self.account(base_url), credentials=wrong)

    def verb(self, sent: Sent) -> Verb | None:
        return None

    async def keep(self, behaviour: Behaviour) -> Kept:
        return await self.keep_declining(BEHAVIOURS[behaviour])

    async def keep_declining(self, word: str) -> Kept:
        customer = self.fake.customer()
        return Kept(self.fake.token(customer, word), customer, CUSTOMER)

    async def settle(self) -> None:
        self.fake.advance(seconds=1)

    async def customer_sets_up(self, started: SetupStarted, *, confirms: bool) -> Mapping[str, str]:
        said: dict[str, str] = self.fake.tell("checkout", order_id=started.gateway_reference)
        return said

    async def dispute(self, payment_reference: str) -> str:
        opened: str = self.fake.tell("dispute", payment_id=payment_reference)["id"]
        return opened


@asynccontextmanager
async def razorpay(tmp_path: Path) -> AsyncIterator[RazorpayDouble]:
    """A Razorpay of our own."""
    with start_razorpay(tmp_path) as fake:
        yield RazorpayDouble(fake)
