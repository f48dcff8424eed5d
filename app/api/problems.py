"""Every answer that is not a success: RFC 9457 problem documents, and what maps to which status."""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app import log
from app.db.errors import is_unreachable
from app.domain.errors import (
    BillingError,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    RateLimited,
    Stale,
    Unauthorized,
    Unavailable,
)
from app.redaction import masked

MEDIA_TYPE: Final = "application/problem+json"
TYPE: Final = "urn:perennial:problem:"
ERRORS_MAX: Final = 50
"""Faults listed in one answer: enough to mend a request, too few to be a flood."""
UNAVAILABLE_RETRY_SECONDS: Final = 1
METHOD_NOT_ALLOWED: Final = 405

logger = log.get(__name__)


class MalformedBody(BillingError):
    """The body cannot be read at all."""

    code = "malformed_json"


class UnsupportedMediaType(BillingError):
    """The body is of a kind we do not read."""

    code = "unsupported_media_type"


class BodyTooLarge(BillingError):
    """The body is larger than this service takes."""

    code = "body_too_large"


# Most specific first: the first class that matches decides.
STATUSES: Final[Sequence[tuple[type[BillingError], int]]] = (
    (InvalidRequest, 422),
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Stale, 412),
    (Conflict, 409),
    (RateLimited, 429),
    (Unavailable, 503),
    (BodyTooLarge, 413),
    (UnsupportedMediaType, 415),
    (BillingError, 400),
)

# What Starlette and FastAPI raise by themselves.
HTTP_CODES: Final[Mapping[int, tuple[str, str]]] = {
    400: ("malformed_request", "The request could not be read."),
    404: ("route_not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take this method."),
    413: ("body_too_large", "The body is larger than this service takes."),
    415: ("unsupported_media_type", "Send the body as application/json."),
}

# Pydantic's names for what is commonly wrong, in our words; others keep their names.
FAULTS: Final[Mapping[str, str]] = {
    "missing": "required",
    "extra_forbidden": "unknown_parameter",
    "json_invalid": "malformed_json",
    "value_error": "invalid_value",
    "literal_error": "invalid_enum",
    "enum": "invalid_enum",
}
SPEAKABLE: Final = re.compile(r"[\w.\[\]@-]{1,64}", re.ASCII)


class Fault(BaseModel):
    """One thing that is wrong with the request."""

    code: str = Field(examples=["required"])
    message: str = Field(examples=["Field required"])
    param: str | None = Field(description="Where, as a path.", examples=["items[0].quantity"])


class ProblemDocument(BaseModel):
    """What every unsuccessful answer looks like (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(examples=["urn:perennial:problem:unknown_parameter"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(ge=400, le=599, examples=[422])
    detail: str = Field(description="A sentence for people.", examples=["Field required"])
    code: str = Field(description="Stable: decide by this.", examples=["invalid_request"])
    param: str | None = Field(description="The field at fault.", examples=["items[0].quantity"])
    decline_code: str | None = Field(description="Why a payment was declined.", examples=[None])
    request_id: str = Field(examples=["req_01j0000000000000000000000"])
    errors: list[Fault] = Field(max_length=ERRORS_MAX)


def problem(  # noqa: PLR0913  the members of the document itself
    status: int,
    code: str,
    detail: str,
    request_id: str,
    *,
    param: str | None = None,
    decline_code: str | None = None,
    errors: Iterable[Mapping[str, str | None]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer that says what went wrong."""
    document = {
        "type": TYPE + code,
        "title": _title(status),
        "status": status,
        "detail": detail,
        "code": code,
        "param": param,
        "decline_code": decline_code,
        "request_id": request_id,
        "errors": list(errors)[:ERRORS_MAX],
    }
    return Response(orjson.dumps(document), status, headers, MEDIA_TYPE)


def _title(status: int) -> str:
    match status:
        case 413:
            return "Content Too Large"
        case 422:
            return "Unprocessable Content"
        case _:
            return HTTPStatus(status).phrase


def request_id(request: Request) -> str:
    """The identifier this request answers under; the edge has set it."""
    return str(request.scope["request_id"])


def status_of(error: BillingError, request: Request) -> int:
    """The HTTP status a caller's mistake is answered with."""
    if isinstance(error, Stale) and "if-match" not in request.headers:
        return 409  # overtaken by another request, not by the caller's own condition
    if isinstance(error, NotFound) and _is_named_in_the_body(error, request):
        return 422  # the address is right; what the body names is not there
    return next(status for kind, status in STATUSES if isinstance(error, kind))


def _is_named_in_the_body(error: NotFound, request: Request) -> bool:
    route = request.scope.get("route")
    return error.param is not None or "{" not in getattr(route, "path", "{")


async def billing_error(request: Request, error: BillingError) -> Response:
    """Answer a caller's mistake."""
    headers: dict[str, str] = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="perennial"'
    retry = getattr(error, "retry_after_seconds", None)
    if retry is None and isinstance(error, Unavailable):
        retry = UNAVAILABLE_RETRY_SECONDS
    if retry is not None:
        headers["Retry-After"] = str(retry)
    problems = error.problems if isinstance(error, InvalidRequest) else ()
    return problem(
        status_of(error, request),
        error.code,
        error.message,
        request_id(request),
        param=error.param,
        decline_code=getattr(error, "decline_code", None),
        errors=[{"code": error.code, "message": p.message, "param": p.param} for p in problems],
        headers=headers,
    )


async def validation_error(request: Request, error: RequestValidationError) -> Response:
    """Answer a request whose shape is wrong, with every fault and never the values."""
    found = error.errors()
    if any(fault["loc"][0] == "path" for fault in found):
        # An address that cannot name anything names nothing.
        return problem(404, "not_found", "There is no such object.", request_id(request))
    faults = [_fault(fault) for fault in found[:ERRORS_MAX]]
    first = faults[0]
    detail = first["message"] or "The request is not valid."
    if first["param"] is not None:
        detail = f"{first['param']}: {detail}"
    return problem(
        422,
        "invalid_request",
        detail,
        request_id(request),
        param=first["param"],
        errors=faults,
    )


def _fault(found: Mapping[str, Any]) -> dict[str, str | None]:
    kind = str(found["type"])
    message = str(found["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        message = "There is no such parameter here."
    return {
        "code": FAULTS.get(kind, kind),
        "message": message,
        "param": path(found["loc"][1:]) if len(found["loc"]) > 1 else None,
    }


def path(location: Iterable[str | int]) -> str:
    """`("items", 0, "quantity")` as `items[0].quantity`; what cannot be spoken becomes `?`."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if SPEAKABLE.fullmatch(step) and masked(step) == step else "?"
            text += f".{name}" if text else name
    return text


async def http_error(request: Request, error: HTTPException) -> Response:
    """Answer what the framework itself refuses: no such route, wrong method."""
    code, detail = HTTP_CODES.get(error.status_code, ("error", _title(error.status_code)))
    headers = dict(error.headers or {})
    if error.status_code == METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return problem(error.status_code, code, detail, request_id(request), headers=headers)


def _methods(request: Request) -> set[str]:
    """Every method some route takes at this address; the framework knows only the first's."""
    path = request.url.path
    routes = [r for r in request.app.routes if isinstance(r, Route) and r.path_regex.match(path)]
    literal = [route for route in routes if route.path == path]
    return {method for route in literal or routes for method in route.methods or ()}


async def unexpected(request: Request, error: Exception) -> Response:
    """Answer while the database cannot be reached; what is our own mistake is raised on."""
    if not is_unreachable(error):
        raise error
    logger.warning("dependency_unreachable", kind=type(error).__name__)
    return problem(
        503,
        "unavailable",
        "The service cannot reach its database; try again.",
        request_id(request),
        headers={"Retry-After": str(UNAVAILABLE_RETRY_SECONDS)},
    )


def internal(id: str) -> Response:
    """Answer our own mistake: it names the request, so that the log tells more, and no more."""
    return problem(500, "internal_error", "Something went wrong on our side.", id)
