"""Why PayPal did nothing: its error answers, read, and what they mean for a call.

A 4xx is definite. The exceptions are the few that speak of an earlier request of ours (`EARLIER`):
they mean that something did happen, and it has to be looked up.
"""

import re
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from app import log
from app.domain.outcome import NotExecuted, Unknown
from app.gateways.base import InvalidRequestError
from app.gateways.paypal.session import TOO_MANY_REQUESTS, rate_limited
from app.http import Answer

BAD_REQUEST: Final = 400
FORBIDDEN: Final = 403
MISSING: Final = 404
CONFLICT: Final = 409
UNPROCESSABLE: Final = 422
REFUSALS: Final = frozenset({BAD_REQUEST, FORBIDDEN, MISSING, UNPROCESSABLE})
REUSED: Final = "PAYPAL_REQUEST_ID_PREVIOUSLY_USED"
"""How the vault may refuse what it has done already."""
EARLIER: Final = frozenset(
    """
    DUPLICATE_INVOICE_ID DUPLICATE_REQUEST_ID DUPLICATE_TRANSACTION ORDER_ALREADY_CAPTURED
    ORDER_ALREADY_AUTHORIZED ORDER_ALREADY_COMPLETED ORDER_COMPLETED_OR_VOIDED
    ORDER_COMPLETION_IN_PROGRESS ORDER_IS_PENDING_APPROVAL PAYMENT_ALREADY_APPROVED
    PREVIOUS_REQUEST_IN_PROGRESS PAYPAL_REQUEST_ID_PREVIOUSLY_USED
    """.split()  # noqa: SIM905  one word each, read at a glance
)
OUR_FAULT: Final = re.compile(
    r"(INVALID|MISSING|MALFORMED|INCOMPATIBLE|UNSUPPORTED|CANNOT_BE|DECIMAL|DECIMALS|MULTI"
    r"|MAX_VALUE|MAX_CAPTURE_AMOUNT|ONE_OF|REQUIRED|NOT_SUPPORTED)_?\w*|\w+_(REQUIRED|MISMATCH|NOT_SUPPORTED)"
)
"""Issues that say the request was not as it must be; declines are looked for before these."""
logger = log.get(__name__)


class Detail(BaseModel):
    """One thing that is wrong; `value` and `description` may repeat what was sent: never read."""

    issue: str | None = None
    field: str | None = None


class Problem(BaseModel):
    """An error answer."""

    name: str
    details: list[Detail] = []
    debug_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A definite no, in PayPal's words."""

    status: int
    issues: tuple[str, ...]
    """The issues, then the name of the whole: the most precise word comes first."""
    param: str | None = None

    @property
    def code(self) -> str:
        """The first of them."""
        return self.issues[0]

    def error(self) -> InvalidRequestError:
        """The same as an error in what we sent."""
        return InvalidRequestError(
            f"PayPal cannot accept the request: {', '.join(self.issues)}.",
            code=self.code,
            param=self.param,
        )


Readable = TypeVar("Readable", bound=BaseModel)


def read(model: type[Readable], answer: Answer) -> Readable | None:
    """The answer as a `model`, or None when it makes no sense."""
    try:
        return model.model_validate_json(answer.body, strict=True)
    except ValidationError:
        return None


def refusal(verb: str, answer: Answer) -> Refusal | NotExecuted | Unknown:
    """What an answer that is no success means."""
    if answer.status == TOO_MANY_REQUESTS:
        return rate_limited(answer)
    if answer.status == CONFLICT:
        return Unknown("still_running")
    if answer.status not in REFUSALS:
        return Unknown(f"http_{answer.status}")
    problem = read(Problem, answer)
    if problem is None:
        return Unknown("unreadable_answer")
    issues = (*(one.issue for one in problem.details if one.issue), problem.name)
    logger.warning("paypal.refused", verb=verb, issues=issues, debug_id=problem.debug_id)
    earlier = EARLIER.intersection(issues)
    if earlier:
        return Unknown(min(earlier).lower())
    param = next((detail.field for detail in problem.details if detail.field), None)
    return Refusal(answer.status, issues, param)
