"""Whether a request is one that Razorpay's own SDK would send, and its documentation allows.

Two judges that nobody here wrote. The official SDK makes the same call on a recording session:
address, query, body, content type, key and extra headers must come out the same. And what may be
in a body, of which type, stands in the documentation of each call (razorpay.com/docs/api): unknown
names are refused there, as Razorpay refuses them.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

import razorpay
import requests
from pydantic import BaseModel, ConfigDict, Field, ValidationError

BASE: Final = "https://api.razorpay.com"
OWN_HEADERS: Final = frozenset({"x-refund-idempotency"})

Amount = Annotated[int, Field(strict=True, ge=0)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Note = Annotated[str, Field(max_length=256)]
Notes = Annotated[dict[str, Note], Field(max_length=15)]
Flag = Annotated[bool, Field(strict=True)]


def identifier(prefix: str) -> Any:
    return Annotated[str, Field(pattern=rf"^{prefix}_[A-Za-z0-9]{{14}}$")]


class Documented(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CustomerBody(Documented):
    name: str | None = None
    email: str | None = None
    contact: str | None = None
    gstin: str | None = None
    fail_existing: Literal["0", "1"] | None = None
    notes: Notes = {}


class BankAccount(Documented):
    beneficiary_name: str
    account_number: str
    account_type: str
    ifsc_code: str


class Terms(Documented):
    max_amount: Annotated[int, Field(strict=True, ge=100)]
    expire_at: Annotated[int, Field(strict=True)] | None = None
    frequency: (
        Literal[
            "daily",
            "weekly",
            "fortnightly",
            "bimonthly",
            "monthly",
            "quarterly",
            "half_yearly",
            "yearly",
            "as_presented",
        ]
        | None
    ) = None
    auth_type: Literal["netbanking", "debitcard", "aadhaar", "physical"] | None = None
    recurring_value: Annotated[int, Field(strict=True, ge=1, le=31)] | None = None
    recurring_type: Literal["on", "before", "after"] | None = None
    bank_account: BankAccount | None = None
    notes: Notes = {}


class Notification(Documented):
    token_id: identifier("token")
    payment_after: Annotated[int, Field(strict=True, ge=946_684_800)] | None = None


class OrderBody(Documented):
    amount: Amount
    currency: Currency
    receipt: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    payment_capture: Flag | None = None
    method: Literal["card", "upi", "emandate", "nach"] | None = None
    customer_id: identifier("cust") | None = None
    token: Terms | None = None
    notification: Notification | None = None
    notes: Notes = {}


class RecurringBody(Documented):
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
    contact: Annotated[str, Field(pattern=r"^\+?[0-9]{8,15}$")]
    amount: Amount
    currency: Currency
    order_id: identifier("order")
    customer_id: identifier("cust")
    token: identifier("token")
    recurring: Literal["1"] | Flag
    description: str | None = None
    notes: Notes = {}


class CaptureBody(Documented):
    amount: Amount
    currency: Currency


class RefundBody(Documented):
    amount: Annotated[int, Field(strict=True, ge=1)]
    speed: Literal["normal", "optimum"] | None = None
    receipt: str | None = None
    notes: Notes = {}


class Nothing(Documented):
    pass


class ListQuery(Documented):
    """Of every list: at most a hundred at a time."""

    count: Annotated[str, Field(pattern=r"^([1-9][0-9]?|100)$")] | None = None
    skip: Annotated[str, Field(pattern=r"^[0-9]+$")] | None = None
    from_: Annotated[str | None, Field(alias="from", pattern=r"^[0-9]{9,10}$")] = None
    to: Annotated[str, Field(pattern=r"^[0-9]{9,10}$")] | None = None


class OrdersQuery(ListQuery):
    receipt: Annotated[str, Field(max_length=40)] | None = None
    authorized: Literal["0", "1"] | None = None


class Recorded(requests.Session):
    """Sends nothing; remembers what was to be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: requests.PreparedRequest | None = None

    def request(self, method: str, url: str, **given: Any) -> requests.Response:  # type: ignore[override]
        allowed = {"params", "data", "headers", "auth"}
        self.sent = requests.Request(
            method, url, **{name: value for name, value in given.items() if name in allowed}
        ).prepare()
        answer = requests.Response()
        answer.status_code = 200
        answer._content = b"{}"
        return answer


Call = Callable[[Any, list[str], dict[str, str], Any, dict[str, str]], object]
ID: Final = r"([A-Za-z]+_[A-Za-z0-9]+)"
ROUTES: Final[list[tuple[str, str, type[Documented], Call]]] = [
    ("POST", "/v1/customers", CustomerBody, lambda c, _i, _q, b, _h: c.customer.create(b)),
    ("GET", f"/v1/customers/{ID}", Nothing, lambda c, i, q, _b, _h: c.customer.fetch(i[0], q)),
    (
        "GET",
        f"/v1/customers/{ID}/tokens/{ID}",
        Nothing,
        lambda c, i, q, _b, _h: c.token.fetch(i[0], i[1], q),
    ),
    (
        "DELETE",
        f"/v1/customers/{ID}/tokens/{ID}",
        Nothing,
        lambda c, i, _q, b, _h: c.token.delete(i[0], i[1], b),
    ),
    (
        "PUT",
        f"/v1/customers/{ID}/tokens/{ID}/cancel",
        Nothing,
        lambda c, i, _q, b, _h: c.token.cancel(i[0], i[1], b),
    ),
    ("POST", "/v1/orders", OrderBody, lambda c, _i, _q, b, _h: c.order.create(b)),
    ("GET", "/v1/orders", OrdersQuery, lambda c, _i, q, _b, _h: c.order.all(q)),
    ("GET", f"/v1/orders/{ID}", Nothing, lambda c, i, q, _b, _h: c.order.fetch(i[0], q)),
    (
        "GET",
        f"/v1/orders/{ID}/payments",
        Nothing,
        lambda c, i, q, _b, _h: c.order.payments(i[0], q),
    ),
    (
        "POST",
        "/v1/payments/create/recurring",
        RecurringBody,
        lambda c, _i, _q, b, _h: c.payment.createRecurring(b),
    ),
    ("GET", "/v1/payments", ListQuery, lambda c, _i, q, _b, _h: c.payment.all(q)),
    ("GET", f"/v1/payments/{ID}", Nothing, lambda c, i, q, _b, _h: c.payment.fetch(i[0], q)),
    (
        "POST",
        f"/v1/payments/{ID}/capture",
        CaptureBody,
        lambda c, i, _q, b, _h: c.payment.capture(i[0], b.get("amount"), dict(b)),
    ),
    (
        "POST",
        f"/v1/payments/{ID}/refund",
        RefundBody,
        lambda c, i, _q, b, h: c.payment.refund(i[0], b, headers=h),
    ),
    (
        "GET",
        f"/v1/payments/{ID}/refunds",
        ListQuery,
        lambda c, i, q, _b, _h: c.payment.fetch_multiple_refund(i[0], q),
    ),
    ("GET", "/v1/refunds", ListQuery, lambda c, _i, q, _b, _h: c.refund.all(q)),
    ("GET", f"/v1/refunds/{ID}", Nothing, lambda c, i, q, _b, _h: c.refund.fetch(i[0], q)),
    ("GET", "/v1/disputes", ListQuery, lambda c, _i, q, _b, _h: c.dispute.all(q)),
    ("GET", f"/v1/disputes/{ID}", Nothing, lambda c, i, q, _b, _h: c.dispute.fetch(i[0], q)),
]


def objections(method: str, target: str, headers: Mapping[str, str], body: bytes) -> list[str]:
    """What is wrong with a request, by SDK and documentation; nothing if it is right.

    `target` is path and query; `headers` are by lower-case name.
    """
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    for verb, pattern, form, call in ROUTES:
        found = re.fullmatch(pattern, parts.path)
        if verb == method and found:
            return [
                *_undocumented(form, query if method == "GET" else body, method),
                *_unlike_the_sdk(
                    call, list(found.groups()), (method, target, query), headers, body
                ),
            ]
    return [f"there is no {method} {parts.path}"]


def _undocumented(form: type[Documented], given: Any, method: str) -> list[str]:
    try:
        said = json.loads(given or b"{}") if isinstance(given, bytes) else given
        form.model_validate(said)
    except ValueError as error:
        if isinstance(error, ValidationError):
            return [
                f"{method} {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors()
            ]
        return [f"the body is no JSON: {error}"]
    return []


def _unlike_the_sdk(
    call: Call,
    ids: list[str],
    line: tuple[str, str, dict[str, str]],
    headers: Mapping[str, str],
    body: bytes,
) -> list[str]:
    method, target, query = line
    key, _, secret = _credentials(headers).partition(":")
    session = Recorded()
    client = razorpay.Client(session=session, auth=(key, secret))
    own = {name: value for name, value in headers.items() if name in OWN_HEADERS}
    try:
        data = json.loads(body) if body else {}
    except ValueError:
        return []  # said already
    if not isinstance(data, dict):
        return ["the body is no object"]
    call(client, ids, dict(query), data, dict(own))
    sent = session.sent
    assert sent is not None
    return list(_differences(sent, (method, target), headers, body))


def _credentials(headers: Mapping[str, str]) -> str:
    kind, _, coded = headers.get("authorization", "").partition(" ")
    if kind != "Basic":
        return ""
    return base64.b64decode(coded).decode()


def _differences(
    sent: requests.PreparedRequest,
    line: tuple[str, str],
    headers: Mapping[str, str],
    body: bytes,
) -> Any:
    method, target = line
    assert sent.url is not None
    theirs, ours = urlsplit(sent.url), urlsplit(target)
    if sent.method != method:
        yield f"the SDK sends {sent.method}"
    if theirs.path != ours.path:
        yield f"the SDK asks for {theirs.path}"
    if sorted(parse_qsl(theirs.query)) != sorted(parse_qsl(ours.query)):
        yield f"the SDK asks with {theirs.query}"
    said = json.loads(sent.body) if sent.body else None
    if said != (json.loads(body) if body else None):
        yield f"the SDK sends {said}"
    for name in ("authorization", "content-type", *OWN_HEADERS):
        if sent.headers.get(name) != headers.get(name):
            yield f"the SDK sends {name}: {sent.headers.get(name)}"
    key = headers.get("x-refund-idempotency")
    if key is not None and not re.fullmatch(r"[A-Za-z0-9_-]{10,}", key):
        yield "an idempotency key has at least ten letters, digits, - or _"
