"""What can be wrong with what a caller asked, each with a stable code. HTTP is app.api's affair.

BillingError              anything a caller can cause and should be told about
├── InvalidRequest        what was asked makes no sense, whatever the state
│   └── CurrencyMismatch  two currencies met in one calculation (app.domain.money)
├── Unverified            what arrived is not proved to come from whom it says
├── Unauthorized          who is asking is not known
├── Forbidden             who is asking may not do this
├── NotFound              no such thing, or not yours: never told apart
├── Conflict              it makes sense, but not in the present state
│   └── Stale             the caller decided on an older version than the present one
├── RateLimited           asked too often; ask again after a while
└── Unavailable           a party we depend on does not answer; nothing was changed

Expected answers, such as a declined card, are values. Our own mistakes are assertions.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and the field it is wrong in (`tiers[1].up_to`)."""

    message: str
    param: str | None = None


class BillingError(Exception):
    """A caller's mistake or misfortune: a clear sentence, a stable code, and the field at fault."""

    code: str = "billing_error"
    message: str
    param: str | None

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class InvalidRequest(BillingError):
    """What was asked makes no sense, whatever the state; `problems` lists every fault found."""

    code = "invalid_request"
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, problems: Iterable[Problem], *, code: str | None = None) -> "InvalidRequest":
        """One error that carries several problems; the first one speaks for all."""
        found = tuple(problems)
        assert found, "an error needs at least one problem"
        error = cls(found[0].message, code=code, param=found[0].param)
        error.problems = found
        return error


class Unverified(BillingError):
    """What arrived is not proved to come from whom it says: nothing of it is looked at."""

    code = "unverified"


class Unauthorized(BillingError):
    """Who is asking is not known."""

    code = "unauthorized"


class Forbidden(BillingError):
    """Who is asking may not do this."""

    code = "forbidden"


class NotFound(BillingError):
    """No such thing, or it is another merchant's; the two are never told apart."""

    code = "not_found"


class Conflict(BillingError):
    """The request makes sense, but not in the present state."""

    code = "conflict"


class Stale(Conflict):
    """The caller decided on an older version than the present one."""

    code = "stale"


class RateLimited(BillingError):
    """Asked too often; `retry_after_seconds` says when to ask again."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_seconds: int, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(BillingError):
    """A party we depend on does not answer; nothing was changed."""

    code = "unavailable"
