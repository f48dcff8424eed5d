"""Calls to PayPal's API: the OAuth token of one account, and what became of each request.

The token is had once for everybody who needs it, kept until shortly before it ends, and had anew
when PayPal says that it does not count any more. While there is none, nothing else is sent: what
keeps us from getting one means that the call itself was not executed.
"""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from pydantic import BaseModel, SecretStr, ValidationError

from app import log
from app.domain.outcome import NotExecuted, Unknown
from app.gateways.base import AuthenticationError
from app.http import Answer, HttpClient, Lost, NotSent, retry_after_seconds

TOKEN_TIMEOUT_SECONDS: Final = 20
"""With two calls of the longest duration beside it, a verb stays below the engine's lease."""
TOKEN_MARGIN_SECONDS: Final = 300
"""A token is not used in the last minutes of its life: a slow request must not outlive it."""
TOKEN_SECONDS_MIN: Final = 30
"""A new token is used at least so long, however short its life is said to be."""
AGAIN_SECONDS_MAX: Final = 15
"""A call whose token was refused is repeated if that was said this quickly."""
OK: Final = 200
UNAUTHORIZED: Final = 401
TOO_MANY_REQUESTS: Final = 429
REFUSED_CREDENTIALS: Final = frozenset({400, 401, 403})
NO_CONTENT: Final = 204
SUCCESSES: Final = frozenset({200, 201, 202, NO_CONTENT})
logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `verb` names it in logs: paths may hold tokens."""

    verb: str
    method: str
    path: str
    body: Mapping[str, object] | None = None
    content: bytes | None = None
    """In place of `body`, where the bytes matter."""
    params: Mapping[str, str] | None = None
    request_id: str | None = None


class TokenAnswer(BaseModel):
    """An access token and how long it lasts."""

    access_token: str
    expires_in: int


class Tokens:
    """The present access token of one client; had by one request, however many wait for it."""

    def __init__(self, http: HttpClient, client_id: str, client_secret: SecretStr) -> None:
        self._http = http
        pair = f"{client_id}:{client_secret.get_secret_value()}"
        self._basic = f"Basic {b64encode(pair.encode()).decode()}"
        self._token: str | None = None
        self._until = 0.0
        self._getting: asyncio.Task[str | NotExecuted] | None = None

    async def have(self, refused: str | None = None) -> str | NotExecuted:
        """A token that counts, and is not the `refused` one. Raises AuthenticationError."""
        is_fresh = asyncio.get_running_loop().time() < self._until
        if self._token is not None and self._token != refused and is_fresh:
            return self._token
        if self._getting is None:
            self._getting = asyncio.create_task(self._get())
            self._getting.add_done_callback(self._got)
        return await asyncio.shield(self._getting)

    def _got(self, getting: "asyncio.Task[str | NotExecuted]") -> None:
        self._getting = None
        if not getting.cancelled():
            getting.exception()  # whoever waited was told; with nobody waiting nobody need be

    async def _get(self) -> str | NotExecuted:
        self._token = None
        exchange = await self._http.send(
            "POST",
            "/v1/oauth2/token",
            headers={
                "Authorization": self._basic,
                "Content-Type": "application/x-www-form-urlencoded",
            },
            content=b"grant_type=client_credentials",
        )
        if not isinstance(exchange, Answer):
            return NotExecuted(exchange.cause)
        noted("oauth2.token", exchange)
        if exchange.status in REFUSED_CREDENTIALS:
            raise AuthenticationError("PayPal does not accept this client id and secret.")
        if exchange.status == TOO_MANY_REQUESTS:
            return rate_limited(exchange)
        answer = _token(exchange)
        if answer is None:
            return NotExecuted("no_access_token")
        seconds = max(answer.expires_in - TOKEN_MARGIN_SECONDS, TOKEN_SECONDS_MIN)
        self._until = asyncio.get_running_loop().time() + seconds
        self._token = answer.access_token
        return answer.access_token


def _token(answer: Answer) -> TokenAnswer | None:
    if answer.status != OK:
        return None
    try:
        return TokenAnswer.model_validate_json(answer.body)
    except ValidationError:
        return None


class Session:
    """One account's way to PayPal."""

    def __init__(
        self, http: HttpClient, tokens_http: HttpClient, client_id: str, client_secret: SecretStr
    ) -> None:
        self._http = http
        self._tokens_http = tokens_http
        self._client = (client_id, client_secret)
        self._tokens = Tokens(tokens_http, client_id, client_secret)

    async def send(self, call: Call) -> Answer | NotExecuted | Unknown:
        """An answer of any status but 401, or what the lack of one means.

        Raises AuthenticationError. A call that PayPal turned away for its token did nothing.
        """
        token = await self._tokens.have()
        if isinstance(token, NotExecuted):
            return token
        begun = asyncio.get_running_loop().time()
        answer = await self._once(call, token)
        if not isinstance(answer, Answer) or answer.status != UNAUTHORIZED:
            return answer
        if asyncio.get_running_loop().time() - begun > AGAIN_SECONDS_MAX:
            return NotExecuted("access_token_refused")
        token = await self._tokens.have(refused=token)
        if isinstance(token, NotExecuted):
            return token
        answer = await self._once(call, token)
        if isinstance(answer, Answer) and answer.status == UNAUTHORIZED:
            raise AuthenticationError("PayPal does not accept the token that it has just given.")
        return answer

    async def _once(self, call: Call, token: str) -> Answer | NotExecuted | Unknown:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if call.request_id is not None:
            headers["PayPal-Request-Id"] = call.request_id
        if call.method == "POST":
            headers["Prefer"] = "return=representation"
        content = call.content
        if call.body is not None:
            content = orjson.dumps(call.body)
        exchange = await self._http.send(
            call.method, call.path, headers=headers, params=call.params, content=content
        )
        match exchange:
            case NotSent(cause):
                return NotExecuted(cause)
            case Lost(cause):
                logger.warning("paypal.lost", verb=call.verb, cause=cause)
                return Unknown(cause)
            case Answer():
                noted(call.verb, exchange)
                return exchange

    async def check(self) -> NotExecuted | None:
        """Whether the credentials count now: what kept us from asking, or nothing.

        Raises AuthenticationError.
        """
        token = await Tokens(self._tokens_http, *self._client).have()
        return token if isinstance(token, NotExecuted) else None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()
        await self._tokens_http.aclose()


def noted(verb: str, answer: Answer) -> None:
    """PayPal's own number of a call goes to the logs: support asks for it first."""
    debug_id = answer.headers.get("PayPal-Debug-Id")
    say = logger.debug if answer.status in SUCCESSES else logger.warning
    say("paypal.answered", verb=verb, status=answer.status, debug_id=debug_id)


def rate_limited(answer: Answer) -> NotExecuted:
    """Turned away before it was looked at."""
    return NotExecuted("rate_limited", retry_after_seconds(answer.headers))
