"""One account's calls to Razorpay: what came back, or what its lack means for money."""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias

import httpx
import orjson
from pydantic import SecretStr

from app.domain.outcome import Inconclusive, NotExecuted, NotFound, Unknown
from app.gateways.base import AccountSettings, AuthenticationError, InvalidRequestError
from app.gateways.razorpay.account import BASE_URL
from app.gateways.razorpay.declines import AMBIGUOUS
from app.gateways.razorpay.words import Problem, Refused, read, spoken
from app.http import Answer, HttpClient, Lost, NotSent, retry_after_seconds

BAD_CREDENTIALS: Final = re.compile(
    r"^authentication failed\W*$|the api (key|secret|key/secret|key and/or secret).* is invalid",
    re.IGNORECASE,
)
"""Razorpay says so with 401, and sometimes with 400 (razorpay.com/docs, errors of each call). That
a *customer's* authentication failed is a failed payment ("Authentication failed due to incorrect
otp"), and says nothing about our key."""
UNDECIDED: Final = frozenset({"GATEWAY_ERROR", "SERVER_ERROR"})
"""Codes of errors on the way to the bank or inside Razorpay: what was asked for may be done yet."""
ABSENT: Final = re.compile(r"\bids? provided does not exist|is not a valid id\b", re.IGNORECASE)
PERSONAL: Final = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+|\+?\d[\d\s-]{7,}\d")
"""Mail addresses, UPI addresses, telephone, account and card numbers."""
Reply: TypeAlias = Answer | Problem | NotExecuted | Unknown


UNAUTHORIZED: Final = 401
CONFLICT: Final = 409
"""The same request is being processed (razorpay.com/docs, refunds, idempotent requests)."""


def redacted(text: str) -> str:
    """Razorpay's own words without whatever in them may name a person or an account."""
    return PERSONAL.sub("[redacted]", text)


def refuse(problem: Problem) -> InvalidRequestError:
    """The error for what Razorpay cannot accept, safe to show to an operator."""
    said = redacted(problem.description) or problem.code
    return InvalidRequestError(said, code=problem.reason or problem.code, param=problem.field)


def told_at(answer: Answer) -> datetime | None:
    """The moment of the answer by Razorpay's clock."""
    try:
        return parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None


def unfound(problem: Problem) -> NotFound | Inconclusive:
    """What a refused look-up learned: that there is no such thing, or nothing.

    Both are 400 with one code, and only the description tells them apart (razorpay.com/docs, "The
    id provided does not exist", "… is not a valid id"). A right that the key lacks, an address that
    is not served: those say nothing about what there is.
    """
    if ABSENT.search(problem.description):
        return NotFound(definitive=True)
    return Inconclusive(f"refused_{spoken(problem.reason or problem.code)}")


class Wire:
    """The connections of one account."""

    def __init__(self, account: AccountSettings, key_id: str, key_secret: SecretStr) -> None:
        basic = httpx.BasicAuth(key_id, key_secret.get_secret_value())
        signed = next(basic.auth_flow(httpx.Request("GET", BASE_URL)))
        self._http = HttpClient(
            account.base_url or BASE_URL,
            headers={"Authorization": signed.headers["Authorization"]},
            connect_timeout_seconds=account.connect_timeout_seconds,
            total_timeout_seconds=account.total_timeout_seconds,
        )

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request: an answer, a refusal, or what the lack of both means.

        Raises AuthenticationError.
        """
        content, said = None, dict(headers or {})
        if body is not None:
            content = orjson.dumps(body)
            said["Content-Type"] = "application/json"
        exchange = await self._http.send(
            method, f"/v1{path}", params=params, headers=said, content=content
        )
        match exchange:
            case NotSent(cause):
                return NotExecuted(cause)
            case Lost(cause):
                return Unknown(cause)
            case Answer(status=200 | 201 | 204):
                return exchange
            case Answer(status=429):
                return NotExecuted("rate_limited", retry_after_seconds(exchange.headers))
            case Answer(status=400 | 401 | 403 | 404 | 409 | 422 as status):
                return _refusal(status, exchange)
            case Answer(status=status):
                return Unknown(f"http_{status}")

    async def look(
        self, path: str, params: Mapping[str, str] | None = None
    ) -> Answer | Problem | Inconclusive:
        """A question that changes nothing. Raises AuthenticationError."""
        reply = await self.call("GET", path, params=params)
        match reply:
            case NotExecuted(cause=cause) | Unknown(cause=cause):
                return Inconclusive(cause)
            case _:
                return reply

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()


def _refusal(status: int, answer: Answer) -> Problem | Unknown:
    said = read(Refused, answer)
    problem = None if said is None else said.error
    if problem is not None and problem.payment_id is not None:
        return problem  # a payment that failed, whose own state tells the rest
    if status == UNAUTHORIZED or (
        problem is not None and BAD_CREDENTIALS.search(problem.description)
    ):
        raise AuthenticationError("Razorpay does not accept the key of this account.")
    if status == CONFLICT:
        return Unknown("still_running")
    if problem is None:
        return Unknown("unreadable_answer")
    if problem.code.upper() in UNDECIDED or (problem.reason or "").lower() in AMBIGUOUS:
        return Unknown(f"undecided_{(problem.reason or problem.code).lower()[:60]}")
    return problem
