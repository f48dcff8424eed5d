"""The adapter of HTTP tax engines, against one that answers, fails, lies and keeps silent."""

from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from app.clock import ManualClock
from app.domain.places import locate
from app.domain.tax_engine import Answer, Failure, FailureKind, Question, SaidRate, Subject
from app.domain.taxation import Reason, Registration, Scheme, Seller, TaxExempt
from app.ids import new_id
from app.taxes.http_engine import HttpTaxEngine, secret_of
from tests.simulator import free_port
from tests.tax_engine import Engine, tax_engine

pytestmark = pytest.mark.anyio

MASTER = b"a secret of at least thirty-two characters"
MERCHANT, ENGINE = new_id(), new_id()
SECRET = secret_of(MASTER, MERCHANT, ENGINE)
CLOCK = ManualClock(datetime(2026, 1, 31, 9, tzinfo=UTC))
SELLER = Seller(
    (
        Registration("DE", home=True),
        Registration("DE", scheme=Scheme.OSS),
        Registration("US", "US-CA", valid_from=date(2027, 1, 1)),
    )
)
SUBJECT = Subject(
    MERCHANT, SELLER, locate("FR", None, "75 001"), TaxExempt.NONE, (("eu_vat", "FR40303265045"),)
)
QUESTION = Question(SUBJECT, "saas", date(2026, 1, 31))


def key_of(secret: str) -> bytes:
    return b64decode(secret.removeprefix("whsec_"))


@asynccontextmanager
async def opened(url: str, secret: str = SECRET, **options: Any) -> AsyncIterator[HttpTaxEngine]:
    adapter = HttpTaxEngine(url, key_of(secret), CLOCK, **({"private": True} | options))
    try:
        yield adapter
    finally:
        await adapter.aclose()


@pytest.fixture
async def engine(anyio_backend: str) -> AsyncIterator[Engine]:
    async with tax_engine(secret=SECRET) as running:
        yield running


async def said(engine: Engine, **answer: Any) -> Answer | Failure:
    engine.rates["FR"] = answer
    async with opened(engine.url) as adapter:
        [found] = await adapter.rates([QUESTION])
    return found


def rate(**changes: Any) -> dict[str, Any]:
    return {"name": "TVA", "jurisdiction": "France", "percentage": "20"} | changes


async def test_a_question_says_who_sells_to_whom_and_the_answer_is_exact(engine: Engine) -> None:
    found = await said(engine, rates=[rate(), rate(name="Local", percentage="0.1234")])
    assert found == Answer((SaidRate("TVA", "France", 200_000), SaidRate("Local", "France", 1_234)))
    # the registration in California begins in 2027
    assert engine.asked == [
        {
            "id": "0",
            "seller": {
                "registrations": [
                    {"country": "DE", "region": None, "scheme": "standard", "home": True},
                    {"country": "DE", "region": None, "scheme": "oss", "home": False},
                ]
            },
            "buyer": {
                "country": "FR",
                "region": None,
                "postal_code": "75001",
                "tax_exempt": "none",
                "tax_ids": [{"type": "eu_vat", "value": "FR40303265045"}],
            },
            "tax_code": "saas",
            "day": "2026-01-31",
        }
    ]


async def test_each_question_of_a_call_has_its_own_fate(engine: Engine) -> None:
    engine.charges("FR", "20")
    engine.rates["IT"] = {"rates": [], "reason": "not_registered"}
    places = [locate(country) for country in ("FR", "ES", "IT")]
    asked = [replace(QUESTION, subject=replace(SUBJECT, place=place)) for place in places]
    async with opened(engine.url) as adapter:
        found = await adapter.rates(asked)
    assert found == [
        Answer((SaidRate("VAT", "FR", 200_000),)),
        Failure(FailureKind.REFUSED, "question_refused"),
        Answer((), Reason.NOT_REGISTERED),
    ]
    assert len(engine.calls) == 1


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ({"rates": []}, "no_reason"),
        ({"rates": None}, "rates"),
        ({"rates": "20"}, "rates"),
        ({"rates": [rate()] * 11}, "rates"),
        ({"rates": [rate(), rate(percentage="5")]}, "one_tax_twice"),
        ({"rates": ["20"]}, "rate"),
        ({"rates": [rate(name="")]}, "rate"),
        ({"rates": [rate(name="T\x00VA")]}, "rate"),
        ({"rates": [rate(jurisdiction=None)]}, "rate"),
        ({"rates": [rate(percentage=20)]}, "rate"),
        ({"rates": [rate(percentage="20%")]}, "percentage"),
        ({"rates": [rate(percentage="-1")]}, "percentage"),
        ({"rates": [rate(percentage="100.0001")]}, "percentage"),
        ({"rates": [rate(percentage="1.23456")]}, "percentage"),
        ({"rates": [], "reason": "because"}, "reason"),
        ({"rates": [], "reason": ["exempt"]}, "reason"),
        ({"rates": [], "reason": "no_rate"}, "reason"),
    ],
)
async def test_what_is_not_an_answer_is_taken_for_none(
    engine: Engine, answer: dict[str, Any], detail: str
) -> None:
    assert await said(engine, **answer) == Failure(FailureKind.UNREADABLE, detail)


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("500", Failure(FailureKind.UNREACHABLE, "status_500")),
        ("redirect", Failure(FailureKind.REFUSED, "status_307")),
        ("garbage", Failure(FailureKind.UNREADABLE, "not_json")),
        ("forgetful", Failure(FailureKind.UNREADABLE, "no_answer")),
        ("silent", Failure(FailureKind.UNREACHABLE, "timeout")),
    ],
)
async def test_an_engine_that_fails_is_told_apart(
    engine: Engine, fault: str, failure: Failure
) -> None:
    engine.fault = fault
    async with opened(engine.url, total_timeout_seconds=1) as adapter:
        assert await adapter.rates([QUESTION, QUESTION]) == [failure, failure]


async def test_an_engine_that_does_not_know_the_signature_refuses(engine: Engine) -> None:
    another = secret_of(MASTER, UUID(int=1), ENGINE)
    async with opened(engine.url, another) as adapter:
        [found] = await adapter.rates([QUESTION])
    assert found == Failure(FailureKind.REFUSED, "status_401")
    assert engine.asked == []


async def test_nobody_at_home_is_unreachable() -> None:
    async with opened(f"http://127.0.0.1:{free_port()}/rates") as adapter:
        [found] = await adapter.rates([QUESTION])
    assert found == Failure(FailureKind.UNREACHABLE, "connect_failed")


async def test_a_name_that_leads_into_the_own_network_is_not_called(engine: Engine) -> None:
    url = engine.url.replace("127.0.0.1", "localhost")
    async with opened(url, private=False) as adapter:
        [found] = await adapter.rates([QUESTION])
    assert found == Failure(FailureKind.REFUSED, "address_not_allowed")
    assert engine.asked == []
