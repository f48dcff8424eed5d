"""How one speaks to Stripe: forms out, JSON back, and what each kind of answer proves.

Every POST carries an Idempotency-Key: Stripe remembers the answer for at least 24 hours, errors
included, once it began to execute (https://docs.stripe.com/api/idempotent_requests). Hence:

2xx           the answer
400 402 404   a definite no (`Refusal`), which may bring the payment along as it now stands
401 403       the credentials: AuthenticationError
429           turned away before anything was looked at, or the object was locked: NotExecuted; a
              400 that says `rate_limit` is no different
409           a request with this key is running: Unknown
idempotency   the key was used for other parameters: InvalidRequestError
5xx, others   Unknown; so is a 4xx of which Stripe says that it is worth repeating
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel

from app.domain.outcome import Inconclusive, NotExecuted, NotFound, Unknown
from app.gateways.base import (
    AccountMode,
    AccountSettings,
    AuthenticationError,
    InvalidRequestError,
)
from app.gateways.stripe.words import ErrorAnswer, ErrorBody, Page, Readable, read
from app.http import Answer, HttpClient, Lost, NotSent, retry_after_seconds
from app.log import redact

BASE_URL: Final = "https://api.stripe.com"
API_VERSION: Final = "2026-10-28.endive"
"""Pinned: what Stripe means by a field changes with it, and the tests' oracles are of it."""
MESSAGE_CHARS_MAX: Final = 300
PAGE: Final = 100
"""Objects on a page of a list: as many as Stripe gives."""
NAME: Final = re.compile(r"[A-Za-z0-9_]{1,255}")
"""What Stripe calls its objects; anything else never goes into a path."""

Field: TypeAlias = "str | int | bool | Mapping[str, Field] | Sequence[Field] | None"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Stripe says no for certain, and why."""

    status: int
    error: ErrorBody

    def fault(self) -> InvalidRequestError:
        """The refusal as a fault of ours; its message is safe to show to an operator."""
        text = redact(self.error.message or "Stripe does not accept the request.")
        return InvalidRequestError(
            text[:MESSAGE_CHARS_MAX],
            code=self.error.code or self.error.type,
            param=self.error.param,
        )

    def misses(self, param: str) -> bool:
        """Whether the reason is that what `param` (or the path) names is not there."""
        return self.error.code == "resource_missing" and self.error.param in {param, None}


No: TypeAlias = Refusal | NotExecuted | Unknown
PageT = TypeVar("PageT", bound=Page)


class Wire:
    """One account's connection to Stripe."""

    def __init__(self, account: AccountSettings, secret_key: str) -> None:
        self.livemode = account.mode is AccountMode.LIVE
        self._http = HttpClient(
            account.base_url or BASE_URL,
            headers={
                "Authorization": f"Bearer {secret_key}",
                "Stripe-Version": API_VERSION,
            },
            connect_timeout_seconds=account.connect_timeout_seconds,
            total_timeout_seconds=account.total_timeout_seconds,
        )

    async def get(
        self, model: type[Readable], path: str, query: Mapping[str, Field] | None = None
    ) -> Readable | No:
        """What `path` shows; changes nothing. Raises AuthenticationError."""
        exchange = await self._http.send("GET", path, params=dict(fields(query or {})))
        return self._read(model, exchange)

    async def post(
        self, model: type[Readable], path: str, key: str, body: Mapping[str, Field]
    ) -> Readable | No:
        """One request that changes something, once per `key`.

        Raises AuthenticationError, InvalidRequestError.
        """
        exchange = await self._http.send(
            "POST",
            path,
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Idempotency-Key": key,
            },
            content=urlencode(fields(body)).encode(),
        )
        return self._read(model, exchange)

    async def pages(
        self, model: type[PageT], path: str, query: Mapping[str, Field], pages_max: int
    ) -> AsyncIterator[PageT | No]:
        """The pages of a list, the newest objects first, `pages_max` at most.

        What breaks it off comes last in place of a page. It is complete if the last one says that
        there is no more.
        """
        after: str | None = None
        for _ in range(pages_max):
            page = await self.get(model, path, {**query, "limit": PAGE, "starting_after": after})
            yield page
            if not isinstance(page, Page) or not page.has_more or not page.data:
                return
            after = page.data[-1].id

    def _read(self, model: type[Readable], exchange: Answer | NotSent | Lost) -> Readable | No:
        match exchange:
            case NotSent(cause):
                return NotExecuted(cause)
            case Lost(cause):
                return Unknown(cause)
            case Answer(status=200):
                said = read(model, exchange)
                if said is None:
                    return Unknown("unreadable_answer")
                return said if self._is_of_mode(said) else Unknown("answer_of_other_mode")
            case Answer():
                refused = _refused(exchange)
                if isinstance(refused, Refusal) and not self._is_of_mode(refused.error):
                    return Unknown("answer_of_other_mode")
                return refused

    def _is_of_mode(self, said: BaseModel) -> bool:
        """Whether all objects of an answer are of our mode, as far as they say so."""
        objects: list[object] = [said]
        if isinstance(said, Page):
            objects = list(said.data)
        elif isinstance(said, ErrorBody):
            objects = [said.payment_intent]
        return all(getattr(one, "livemode", self.livemode) is self.livemode for one in objects)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()


def is_name(text: str) -> bool:
    """Whether Stripe could call an object so."""
    return NAME.fullmatch(text) is not None


def unfound(no: No) -> NotFound | Inconclusive:
    """What a look-up learned that got no object."""
    match no:
        case Refusal(status=404, error=error) if error.code == "resource_missing":
            return NotFound(definitive=True)
        case Refusal(error=error):
            return Inconclusive(error.code or error.type)
        case NotExecuted(cause=cause) | Unknown(cause=cause):
            return Inconclusive(cause)


def fields(body: Mapping[str, Field]) -> list[tuple[str, str]]:
    """A nested body as form fields: `metadata[a]=b`, `expand[0]=c`; what is None is left out."""
    found: list[tuple[str, str]] = []
    for name, value in body.items():
        _flatten(name, value, found)
    return found


def _flatten(name: str, value: Field, found: list[tuple[str, str]]) -> None:
    if isinstance(value, str):
        found.append((name, value))
    elif isinstance(value, bool):
        found.append((name, "true" if value else "false"))
    elif isinstance(value, int):
        found.append((name, str(value)))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(f"{name}[{key}]", inner, found)
    elif value is not None:
        for place, inner in enumerate(value):
            _flatten(f"{name}[{place}]", inner, found)


def _refused(answer: Answer) -> Refusal | NotExecuted | Unknown:
    match answer.status:
        case 401:
            raise AuthenticationError("Stripe does not accept the secret key of this account.")
        case 403:
            raise AuthenticationError("The key of this Stripe account may not do this.")
        case 409:
            return Unknown("still_running")
        case 429:
            return _turned_away(answer)
        case 400 | 402 | 404:
            return _definite(answer)
        case status:
            return Unknown(f"http_{status}")


def _turned_away(answer: Answer) -> NotExecuted:
    return NotExecuted("rate_limited", retry_after_seconds(answer.headers))


def _definite(answer: Answer) -> Refusal | NotExecuted | Unknown:
    said = read(ErrorAnswer, answer)
    if said is None:
        return Unknown("unreadable_answer")
    if answer.status == 400 and said.error.code == "rate_limit":  # noqa: PLR2004  Bad Request
        return _turned_away(answer)
    if said.error.type == "api_error" or answer.headers.get("Stripe-Should-Retry") == "true":
        return Unknown(f"http_{answer.status}")
    refusal = Refusal(answer.status, said.error)
    if said.error.type == "idempotency_error":
        raise refusal.fault()
    return refusal
