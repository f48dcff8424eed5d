"""Any engine that speaks our own small contract over HTTP: docs/tax-engines.md has its schemas.

Requests are signed as Standard Webhooks are (https://www.standardwebhooks.com, version 1.0.0), so
that an engine answers nobody else.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

import orjson

from app import signing
from app.addresses import CheckingResolver, public_socket
from app.clock import Clock
from app.domain import decimals
from app.domain.errors import InvalidRequest
from app.domain.money import WHOLE_PPM
from app.domain.tax_engine import (
    REASONS,
    Answer,
    Failure,
    FailureKind,
    Question,
    SaidRate,
)
from app.domain.taxation import Reason
from app.http import Answer as HttpAnswer
from app.http import HttpClient
from app.ids import new_id, show
from app.taxes.engine import Capabilities

CONNECT_SECONDS_MAX: Final = 3
TOTAL_SECONDS_MAX: Final = 10
"""A person may be waiting; and whoever is slower than this is asked again a minute later."""
RATES_MAX: Final = 10
"""On one line; no jurisdictions lie ten deep."""
NAME_CHARS_MAX: Final = 100
PERCENT_PLACES: Final = 4
REASON_WORDS: Final = frozenset(reason.value for reason in REASONS)
SERVER_FAULT: Final = 500
OK: Final = 200
TOO_MANY_REQUESTS: Final = 429


class UnreadableAnswer(ValueError):
    """What came is not an answer by the contract; the text says why, in a short word."""


def secret_of(master: bytes, merchant_id: UUID, engine_id: UUID) -> str:
    """What one merchant's engine knows our calls by: derived, so that it is stored nowhere."""
    parts = b"perennial.tax_engine.v1" + merchant_id.bytes + engine_id.bytes
    return signing.secret_of(hmac.digest(master, parts, hashlib.sha256))


class HttpTaxEngine:
    """One merchant's engine at `url`."""

    kind: ClassVar[str] = "http"
    capabilities: ClassVar[Capabilities] = Capabilities(
        questions_max=50, calls_max=4, ttl_seconds=86_400
    )

    def __init__(
        self,
        url: str,
        key: bytes,
        clock: Clock,
        *,
        private: bool,
        total_timeout_seconds: int = TOTAL_SECONDS_MAX,
    ) -> None:
        self._key = key
        self._clock = clock
        self._resolver = None if private else CheckingResolver()
        self._client = HttpClient(
            url,
            headers={"Content-Type": "application/json"},
            connect_timeout_seconds=CONNECT_SECONDS_MAX,
            total_timeout_seconds=total_timeout_seconds,
            resolver=self._resolver,
            sockets=None if private else public_socket,
        )

    async def rates(self, asked: Sequence[Question]) -> Sequence[Answer | Failure]:
        """An answer or a failure for each question, in their order."""
        assert len(asked) <= self.capabilities.questions_max
        questions = [_question(str(place), one) for place, one in enumerate(asked)]
        content = orjson.dumps({"type": "tax.rates", "questions": questions})
        exchange = await self._client.send(
            "POST", "", headers=self._signed(content), content=content
        )
        if not isinstance(exchange, HttpAnswer):
            failure = Failure(FailureKind.UNREACHABLE, exchange.cause)
            if self._resolver is not None and self._resolver.has_refused:
                failure = Failure(FailureKind.REFUSED, "address_not_allowed")
            return [failure] * len(asked)
        if exchange.status != OK:
            away = exchange.status >= SERVER_FAULT or exchange.status == TOO_MANY_REQUESTS
            kind = FailureKind.UNREACHABLE if away else FailureKind.REFUSED
            return [Failure(kind, f"status_{exchange.status}")] * len(asked)
        try:
            answers = _answers(exchange.body)
        except UnreadableAnswer as error:
            return [Failure(FailureKind.UNREADABLE, str(error))] * len(asked)
        return [_answer(answers.get(str(place))) for place in range(len(asked))]

    def _signed(self, content: bytes) -> Mapping[str, str]:
        return signing.headers([self._key], show("req", new_id()), self._clock.now(), content)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def _question(id: str, asked: Question) -> dict[str, Any]:
    subject = asked.subject
    return {
        "id": id,
        "seller": {
            "registrations": [
                {
                    "country": one.country,
                    "region": one.region,
                    "scheme": one.scheme,
                    "home": one.home,
                }
                for one in subject.seller.on(asked.day)
            ]
        },
        "buyer": {
            "country": subject.place.country,
            "region": subject.place.region,
            "postal_code": subject.place.postal_code or None,
            "tax_exempt": subject.tax_exempt,
            "tax_ids": [{"type": kind, "value": value} for kind, value in subject.tax_ids],
        },
        "tax_code": asked.tax_code,
        "day": asked.day.isoformat(),
    }


def _answers(body: bytes) -> dict[str, Any]:
    """What was said, by the question's id. Raises UnreadableAnswer."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnreadableAnswer("not_json") from None
    answers = said.get("answers") if isinstance(said, dict) else None
    if not isinstance(answers, list) or not all(isinstance(one, dict) for one in answers):
        raise UnreadableAnswer("no_answers")
    return {one["id"]: one for one in answers if isinstance(one.get("id"), str)}


def _answer(said: dict[str, Any] | None) -> Answer | Failure:
    if said is None:
        return Failure(FailureKind.UNREADABLE, "no_answer")
    if said.get("error") is not None:
        return Failure(FailureKind.REFUSED, "question_refused")
    try:
        return _read(said)
    except UnreadableAnswer as error:
        return Failure(FailureKind.UNREADABLE, str(error))


def _read(said: dict[str, Any]) -> Answer:
    given = said.get("rates")
    if not isinstance(given, list) or len(given) > RATES_MAX:
        raise UnreadableAnswer("rates")
    rates = tuple(_rate(one) for one in given)
    if len({(rate.name, rate.jurisdiction) for rate in rates}) < len(rates):
        raise UnreadableAnswer("one_tax_twice")
    word = said.get("reason")
    if word is not None and (not isinstance(word, str) or word not in REASON_WORDS):
        raise UnreadableAnswer("reason")
    if not rates and word is None:
        raise UnreadableAnswer("no_reason")
    return Answer(rates, None if word is None else Reason(word))


def _rate(said: Any) -> SaidRate:
    if not isinstance(said, dict):
        raise UnreadableAnswer("rate")
    texts = [said.get(key) for key in ("name", "jurisdiction", "percentage")]
    if not all(isinstance(text, str) and 0 < len(text) <= NAME_CHARS_MAX for text in texts):
        raise UnreadableAnswer("rate")
    name, jurisdiction, percentage = map(str, texts)
    if not (name.isprintable() and jurisdiction.isprintable()):
        raise UnreadableAnswer("rate")
    try:
        ppm = decimals.parse(percentage, PERCENT_PLACES)
    except InvalidRequest:
        raise UnreadableAnswer("percentage") from None
    if not 0 <= ppm <= WHOLE_PPM:
        raise UnreadableAnswer("percentage")
    return SaidRate(name, jurisdiction, ppm)
