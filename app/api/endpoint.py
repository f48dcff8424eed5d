"""What every route does around its own three lines: who asks, what may be sent, what was answered
before. Endpoints get an `Ask` and return a finished answer.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api import body, problems, replay
from app.api.answers import answer, etag
from app.api.auth import SAFE_METHODS, Access, Need, authenticate, authenticate_admin, check_scope
from app.api.pages import Listing, expansions, listing, place_of
from app.db.base import Row
from app.db.views import BY_OBJECT, View
from app.domain.errors import BillingError, InvalidRequest, NotFound
from app.runtime import Runtime
from app.services import lookup, tax_prefetch
from app.services.api_keys import KeyRing
from app.services.caller import Caller
from app.services.public import shown

Handler = Callable[[Request], Awaitable[Response]]
SINGLE_QUERY: Final = frozenset({"expand"})
SLASHES: Final = 3
"""In `/v1/noun/{id}`."""
INSIDE: Final = {"invoice_lines": "invoices"}
"""What has no address of its own is read by whoever may read what it lies in; of all else the table
is called as the noun is.
"""
NO_VERSION: Final = -1
"""An If-Match that no version of ours can match."""
ANY_ORIGIN: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Request-Id",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of a merchant, as endpoints see it."""

    request: Request
    rt: Runtime
    ring: KeyRing
    caller: Caller

    async def one(self, view: View, id: UUID) -> Response:
        """One object, or 304 where the caller has its present version already."""
        names: Sequence[str] = ()
        if self.request.scope["query_string"]:
            names = self._expansions(view, self.request.query_params.getlist("expand"))
        public = await lookup.one(self.rt, self.caller, view, id, names)
        if names:  # the tag of one object says nothing about those beside it
            return answer(public, tagged=False)
        version = public.get("version")
        known = self.request.headers.get("if-none-match")
        if known is not None and version is not None and _knows(known, etag(version)):
            return Response(None, 304, {"ETag": etag(version)})
        return answer(public)

    async def page(
        self, view: View, query: Listing, fixed: Mapping[str, UUID] | None = None
    ) -> Response:
        """A page of objects; `fixed` filters come from the address."""
        filters = query.filters() | dict(fixed or {})
        scope = self.request.url.path
        found = await lookup.page(
            self.rt,
            self.caller,
            view,
            filters,
            place_of(query.cursor, scope, filters),
            query.limit,
            self._expansions(view, query.expand),
        )
        return answer(listing(found, scope, filters))

    def _expansions(self, view: View, values: list[str]) -> list[str]:
        """What is to be expanded, if the key may read it. Raises Forbidden, InvalidRequest."""
        names = expansions(values)
        for target in filter(None, map(view.references.get, names)):
            table = BY_OBJECT[target].table
            check_scope(self.caller.scopes, INSIDE.get(table, table), "read")
        return names

    def shown(self, view: View, row: Row, status: int = 200) -> Response:
        """A row that a service gave back."""
        return answer(shown(view, row), status)

    async def present(self, view: View, id: UUID, status: int = 200) -> Response:
        """One object as it is after what was just done."""
        return answer(await lookup.one(self.rt, self.caller, view, id), status)

    def declined(self, payment: Mapping[str, Any]) -> Response:
        """The payment was declined: 402, with why."""
        code = payment["failure_code"]
        return problems.problem(
            402,
            "payment_declined",
            f"The payment was declined: {code}." if code else "There is no way to pay it yet.",
            self.caller.request_id,
            decline_code=code,
        )

    def expected_version(self) -> int | None:
        """The version If-Match names; None when the caller does not care."""
        text = self.request.headers.get("if-match")
        if text is None or text.strip() == "*":
            return None
        number = text.strip().removeprefix('"').removesuffix('"')
        small = len(number) < 19 and number.isascii()  # noqa: PLR2004  a 64-bit integer
        return int(number) if small and number.isdigit() else NO_VERSION


def _knows(header: str, tag: str) -> bool:
    tags = [known.strip().removeprefix("W/") for known in header.split(",")]
    return tag in tags or "*" in tags


async def _ask(request: Request) -> Ask:
    state = request.app.state
    return Ask(request, state.runtime, state.keys, request.scope["caller"])


async def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


Asked = Annotated[Ask, Depends(_ask)]
Running = Annotated[Runtime, Depends(_runtime)]


class Endpoint(APIRoute):
    """A route for secret keys."""

    access: ClassVar[Access] = Access.SECRET
    access_reading: ClassVar[Access] = Access.SECRET

    @property
    def need(self) -> Need:
        """What this route asks of its callers, from its address and its method."""
        reads = set(self.methods or ()) <= SAFE_METHODS
        noun = self.path.split("/")[2]
        return Need(self.access_reading if reads else self.access, noun, _verb(reads=reads))

    @property
    def reads_one(self) -> bool:
        """Whether it gets a single object of a merchant, and so takes `expand`."""
        reads = set(self.methods or ()) <= SAFE_METHODS and self.path.endswith("}")
        single = self.path.count("/") == SLASHES
        return reads and single and self.access_reading is not Access.ADMIN

    def get_route_handler(self) -> Callable[[Request], Any]:
        respond = super().get_route_handler()
        need = self.need
        names = _query_names(self)
        takes_body = self.body_field is not None
        status = self.status_code or 200

        async def respond_taxed(request: Request) -> Response:
            # Whatever an endpoint bills: where it lacks a tax engine's answer, it says so before
            # anything is recorded, and is called again with the answer there.
            return await tax_prefetch.answered(request.app.state.runtime, lambda: respond(request))

        async def handle(request: Request) -> Response:
            state = request.app.state
            if need.access is Access.ADMIN:
                authenticate_admin(request, state.runtime)
            else:
                request.scope["caller"] = await authenticate(
                    request, state.runtime, state.keys, need
                )
            _check_query(request, names)
            if need.verb == "read":
                return await respond(request)
            caller: Caller | None = request.scope.get("caller")
            public = caller is not None and caller.publishable
            careful = await body.read(request, public=public)
            if careful.value != {} and not takes_body:
                raise InvalidRequest("This call takes no body.", code="unknown_parameter")
            if need.access is Access.ADMIN:
                return await respond(careful)
            response = await replay.once(state.runtime, careful, respond_taxed, status)
            state.nudge.after_write(state.runtime)
            return response

        return handle

    @cached_property
    def _need(self) -> Need:
        return self.need

    async def read_one(self, scope: Scope, receive: Receive, send: Send, text: str) -> None:
        """Answer a single read without FastAPI, which would take longer than the database.

        Such endpoints take an Ask and an identifier, `text` in the address.
        """
        request = Request(scope, receive, send)
        state = request.app.state
        caller = await authenticate(request, state.runtime, state.keys, self._need)
        _check_query(request, SINGLE_QUERY)
        (field,) = self.dependant.path_params
        object_id, errors = field.validate(text, {}, loc=("path", field.alias))
        if errors:
            raise NotFound("There is no such object.")
        response = await self.endpoint(Ask(request, state.runtime, state.keys, caller), object_id)
        await response(scope, receive, send)


class CatalogEndpoint(Endpoint):
    """A route that publishable keys may read."""

    access_reading = Access.PUBLISHABLE


class BrowserEndpoint(CatalogEndpoint):
    """A route that publishable keys may read from a page of any origin."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def handle_for_browsers(request: Request) -> Response:
            try:
                response: Response = await handle(request)
            except BillingError as error:
                response = await problems.billing_error(request, error)
            except RequestValidationError as error:
                response = await problems.validation_error(request, error)
            response.headers.update(ANY_ORIGIN)  # a page reads no answer without them
            return response

        return handle_for_browsers


class AdminEndpoint(Endpoint):
    """A route for whoever runs the service."""

    access = Access.ADMIN
    access_reading = Access.ADMIN


def _verb(*, reads: bool) -> str:
    return "read" if reads else "write"


def _query_names(route: APIRoute) -> frozenset[str]:
    names: set[str] = set()
    for field in route.dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names.update(kind.model_fields)
        else:
            names.add(field.alias)
    return frozenset(names)


def _check_query(request: Request, names: frozenset[str]) -> None:
    """Refuse what this route does not take. Raises InvalidRequest."""
    if not request.scope["query_string"]:
        return
    for name, value in request.query_params.multi_items():
        if name not in names:
            raise InvalidRequest(
                "There is no such parameter here.",
                code="unknown_parameter",
                param=problems.path((name,)),
            )
        body.check_text(value, (name,))
