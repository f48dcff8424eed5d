"""One account's line to Authorize.net: every call is a POST to one address, named by its root.

The credentials travel inside the body, and answers to a malformed request quote it. So bodies and
the gateway's own sentences go into no log, exception or outcome: only its codes do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from app.domain.outcome import NotExecuted, Unknown
from app.gateways.authorizenet import answers, words
from app.gateways.authorizenet.answers import Unreadable
from app.gateways.base import AuthenticationError, InvalidRequestError
from app.http import Answer, HttpClient, Lost, NotSent, retry_after_seconds

PATH: Final = "/xml/v1/request.api"
HTTP_OK: Final = 200
TOO_MANY_REQUESTS: Final = 429
ACCESS: Final = (
    "Authorize.net does not let this account call it; for look-ups the Transaction Details API must"
    " be switched on in the Merchant Interface."
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What every call carries."""

    login: str
    key: str

    def __repr__(self) -> str:
        return "Credentials(…)"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that could be read: `code` is the first of its messages, in the gateway's word."""

    whole: Mapping[str, Any] = field(repr=False)
    is_ok: bool
    code: str
    text: str = field(repr=False)
    said_at: datetime | None
    """When, by the gateway's clock."""


Call = Mapping[str, object]
Heard = Reply | NotExecuted | Unknown


class Api:
    """Calls as the gateway takes them. Elements must stand in its schema's order: callers build
    them so, and `call` puts the credentials first.
    """

    def __init__(self, http: HttpClient, credentials: Credentials) -> None:
        self._http = http
        self._credentials = credentials

    async def call(self, name: str, fields: Call) -> Heard:
        """One call. Raises AuthenticationError and InvalidRequestError, when nothing was executed;
        other errors the gateway answers with are in the reply.
        """
        credentials = {"name": self._credentials.login, "transactionKey": self._credentials.key}
        body = {name: {"merchantAuthentication": credentials, **fields}}
        match await self._http.send("POST", PATH, content=orjson.dumps(body)):
            case NotSent(cause):
                return NotExecuted(cause)
            case Lost(cause):
                return Unknown(cause)
            case Answer() as answer:
                return heard(answer)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()


def heard(answer: Answer) -> Heard:
    """What an HTTP answer says. The gateway itself answers 200 to everything."""
    if answer.status == TOO_MANY_REQUESTS:
        return NotExecuted("rate_limited", retry_after_seconds(answer.headers))
    if answer.status != HTTP_OK:
        return Unknown(f"http_{answer.status}")
    try:
        reply = reply_of(answer)
    except Unreadable:
        return Unknown("unreadable_answer")
    if reply.is_ok:
        return reply
    if reply.code in words.UNANSWERED:
        return Unknown(reply.code)
    if reply.code in words.CREDENTIALS:
        raise AuthenticationError(f"Authorize.net refuses the credentials ({reply.code}).")
    if reply.code == words.NO_ACCESS:
        raise AuthenticationError(f"{ACCESS} ({reply.code})")
    if reply.code in words.OURS:
        raise InvalidRequestError(
            f"Authorize.net cannot accept the request ({reply.code}).", code=reply.code
        )
    return reply


def reply_of(answer: Answer) -> Reply:
    """The answer's messages, found and read. Raises Unreadable."""
    whole = answers.parse(answer.body)
    messages = whole.get("messages")
    if not isinstance(messages, dict) or messages.get("resultCode") not in ("Ok", "Error"):
        raise Unreadable
    said = messages.get("message")
    first = said[0] if isinstance(said, list) and said and isinstance(said[0], dict) else {}
    return Reply(
        whole,
        messages["resultCode"] == "Ok",
        str(first.get("code", "")),
        str(first.get("text", "")),
        said_at(answer),
    )


def said_at(answer: Answer) -> datetime | None:
    """The gateway's own time, as HTTP says it; None when it does not."""
    try:
        moment = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
