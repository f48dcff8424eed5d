"""One account at the simulator, spoken to over HTTP like any other gateway.

Look-up by our own reference, complete and immediate. How requests may be repeated is the account's
own choice (`repeating`): by default native idempotency keys, kept for ever.
"""

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar, Final

import orjson

from app.domain.dispute import DisputeLookup, DisputeReport
from app.domain.outcome import (
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    Outcome,
    PaymentLookup,
    RefundDeclined,
    RefundLookup,
    RefundOutcome,
    Unknown,
    VoidDeclined,
    Voided,
    VoidOutcome,
)
from app.domain.vault import (
    CustomerOutcome,
    CustomerSaved,
    Detached,
    DetachOutcome,
    MethodLookup,
    SetupOutcome,
)
from app.gateways.base import (
    AccountSettings,
    CredentialCheck,
    CredentialField,
    InvalidRequestError,
    ListingFailed,
)
from app.gateways.capabilities import Capabilities
from app.gateways.reports import GatewayEvent, GatewayTransaction, WebhookDelivery
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    CustomerRequest,
    MethodReference,
    PaymentQuery,
    RefundQuery,
    RefundRequest,
    SetupCompletion,
    SetupRequest,
    TimeWindow,
    VoidRequest,
)
from app.gateways.simulator import webhooks
from app.gateways.simulator.account import (
    CAPABILITIES,
    DEFAULT_ACCOUNT,
    DEFAULT_SECRET,
    FIELDS,
    capabilities,
)
from app.gateways.simulator.answers import (
    ChargeAnswer,
    ChargeList,
    CustomerAnswer,
    DisputeAnswer,
    DisputePage,
    MethodAnswer,
    OrderAnswer,
    OrderList,
    ProblemAnswer,
    Readable,
    RefundAnswer,
    RefundList,
    SetupAnswer,
    TransactionPage,
    read,
    refused,
)
from app.gateways.simulator.declines import REFUND_REFUSALS, UNKNOWN_FOR_NOW, VOID_REFUSALS
from app.http import Answer, HttpClient, Lost, NotSent
from app.settings import settings

PAGE: Final = "500"
PAGES_MAX: Final = 10_000


class SimulatorGateway:
    """The simulator's adapter."""

    name: ClassVar[str] = "simulator"
    capabilities: Capabilities = CAPABILITIES
    fields: ClassVar[tuple[CredentialField, ...]] = FIELDS

    def __init__(self, account: AccountSettings) -> None:
        secret = account.credentials.get("secret_key", DEFAULT_SECRET).get_secret_value()
        self._repeating = account.options.get("repeating", "native_key")
        self._webhook_secrets = account.webhook_secrets
        self._account_id = account.options.get("account_id", DEFAULT_ACCOUNT)
        self._lead_time_seconds = account.options.get("lead_time_seconds") or "0"
        self.capabilities = capabilities(self._repeating, int(self._lead_time_seconds))
        self._http = HttpClient(
            account.base_url or settings().simulator_url,
            headers={
                "Authorization": f"Bearer {secret}",
                "Content-Type": "application/json",
                "Simulator-Repeating": self._repeating,
                "Simulator-Lead-Time": self._lead_time_seconds,
            },
            connect_timeout_seconds=account.connect_timeout_seconds,
            total_timeout_seconds=account.total_timeout_seconds,
        )

    # ── the customer and the vault ────────────────────────────────────────────────────────────────

    async def create_customer(self, request: CustomerRequest) -> CustomerOutcome:
        """Make the customer known; one who is known already is found."""
        who = request.customer
        body = {"reference": who.reference, "email": who.email, "name": who.name}
        answer = await self._post("/v1/customers", request.idempotency_key, body)
        if not isinstance(answer, Answer):
            return answer
        customer = read(CustomerAnswer, answer)
        return Unknown("unreadable_answer") if customer is None else CustomerSaved(customer.id)

    async def start_setup(self, request: SetupRequest) -> SetupOutcome:
        """A client secret, with which the customer confirms at `/setups/{id}/confirm`."""
        known = request.customer_reference
        if known is None:
            key = f"{request.idempotency_key}-customer"
            made = await self.create_customer(CustomerRequest(key, request.customer))
            if not isinstance(made, CustomerSaved):
                return made
            known = made.reference
        body = {"reference": request.setup_code, "customer": known}
        answer = await self._post("/v1/setups", request.idempotency_key, body)
        if not isinstance(answer, Answer):
            return answer
        setup = read(SetupAnswer, answer)
        return Unknown("unreadable_answer") if setup is None else setup.started()

    async def complete_setup(self, request: SetupCompletion) -> SetupOutcome:
        """What became of it; nothing is left to do once the customer has confirmed."""
        answer = await self._get(f"/v1/setups/{request.gateway_reference}", SetupAnswer)
        match answer:
            case SetupAnswer():
                return answer.outcome()
            case NotFound():
                raise InvalidRequestError("There is no such set-up.", code="not_found")
            case Inconclusive(cause):
                return Unknown(cause, request.gateway_reference)

    async def get_payment_method(self, method: MethodReference) -> MethodLookup:
        """How it is kept now."""
        answer = await self._get(f"/v1/payment_methods/{method.reference}", MethodAnswer)
        return Found(answer.method()) if isinstance(answer, MethodAnswer) else answer

    async def detach_payment_method(
        self, method: MethodReference, *, idempotency_key: str
    ) -> DetachOutcome:
        """Let go of it. One that is gone is `Detached`."""
        path = f"/v1/payment_methods/{method.reference}"
        exchange = await self._http.send(
            "DELETE", path, headers={"Idempotency-Key": idempotency_key}
        )
        match exchange:
            case NotSent(cause):
                return NotExecuted(cause)
            case Lost(cause):
                return Unknown(cause)
            case Answer(status=200):
                read_back = read(MethodAnswer, exchange)
                return Unknown("unreadable_answer") if read_back is None else Detached()
            case Answer(status=404):
                return Detached()
            case Answer():
                return refused(exchange)

    # ── money ─────────────────────────────────────────────────────────────────────────────────────

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Take money off-session, or hold it, once per idempotency key or order."""
        body = {
            "reference": request.attempt_code,
            "amount": request.amount_minor,
            "currency": request.currency,
            "payment_method": request.payment_method_reference,
            "customer": request.customer_reference,
            "invoice_number": request.invoice_number,
            "description": request.description,
            "sequence": request.sequence,
            "network_transaction_id": request.network_transaction_id,
            "capture": request.is_captured,
        }
        if request.not_before is not None:
            body["not_before"] = int(request.not_before.timestamp() * 1000)
        if self._repeating == "per_order":
            order = await self._order(request)
            if not isinstance(order, OrderAnswer):
                return order
            body["order"] = order.id
        return await self._charged(
            "/v1/charges", request.idempotency_key, body, request.attempt_code
        )

    async def _order(self, request: ChargeRequest) -> OrderAnswer | NotExecuted | Unknown:
        """The one order of this attempt: the oldest with its receipt, whoever made it.

        Orders are listed again after one is made: should an earlier request have had its effect
        meanwhile, everybody settles on the same one.
        """
        wanted = (request.attempt_code, request.amount_minor, request.currency)
        for is_made in (False, True):
            orders = await self._get(
                "/v1/orders", OrderList, params={"receipt": request.attempt_code}
            )
            if not isinstance(orders, OrderList):
                # Nothing was charged by this call; an earlier one is as unknown as it was.
                cause = orders.cause if isinstance(orders, Inconclusive) else "no_orders"
                return NotExecuted(cause)
            for order in orders.data:
                if (order.receipt, order.amount, order.currency) != wanted:
                    return Unknown("answer_for_another_order")
                return order
            if is_made:
                break
            body = dict(zip(("receipt", "amount", "currency"), wanted, strict=True))
            made = await self._post("/v1/orders", request.idempotency_key, body)
            if not isinstance(made, Answer):
                return NotExecuted(made.cause)
        return NotExecuted("order_not_shown")

    async def capture(self, request: CaptureRequest) -> Outcome:
        """Take what was held, once per idempotency key."""
        body = {"amount": request.amount_minor, "currency": request.currency}
        path = f"/v1/charges/{request.payment_reference}/capture"
        return await self._charged(path, request.idempotency_key, body)

    async def _charged(
        self, path: str, key: str, body: Mapping[str, object], reference: str | None = None
    ) -> Outcome:
        try:
            answer = await self._post(path, key, body)
        except InvalidRequestError as error:
            if error.code not in UNKNOWN_FOR_NOW:
                raise
            return Unknown(error.code)
        if not isinstance(answer, Answer):
            return answer
        charge = read(ChargeAnswer, answer)
        if charge is None:
            return Unknown("unreadable_answer")
        given = (charge.amount, charge.currency, charge.reference)
        if given != (body["amount"], body["currency"], reference or charge.reference):
            return Unknown("answer_for_another_charge", charge.id)
        return charge.outcome()

    async def void(self, request: VoidRequest) -> VoidOutcome:
        """Give up what was held or waits for the customer."""
        path = f"/v1/charges/{request.payment_reference}/void"
        try:
            answer = await self._post(path, request.idempotency_key, {})
        except InvalidRequestError as error:
            if error.code == "charge_is_voided":
                return Voided(request.payment_reference)
            reason = VOID_REFUSALS.get(error.code or "")
            if reason is None:
                raise
            return VoidDeclined(reason, error.code or "")
        if not isinstance(answer, Answer):
            return answer
        charge = read(ChargeAnswer, answer)
        if charge is None or (charge.id, charge.status) != (request.payment_reference, "voided"):
            return Unknown("unreadable_answer", request.payment_reference)
        return Voided(charge.id)

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back, once per idempotency key."""
        body = {
            "charge": request.payment_reference,
            "reference": request.refund_code,
            "amount": request.amount_minor,
            "currency": request.currency,
        }
        try:
            answer = await self._post("/v1/refunds", request.idempotency_key, body)
        except InvalidRequestError as error:
            reason = REFUND_REFUSALS.get(error.code or "")
            if reason is None:
                raise
            return RefundDeclined(reason, error.code or "")
        if not isinstance(answer, Answer):
            return answer
        refund = read(RefundAnswer, answer)
        if refund is None:
            return Unknown("unreadable_answer")
        if (refund.reference, refund.amount, refund.currency) != (
            request.refund_code,
            request.amount_minor,
            request.currency,
        ):
            return Unknown("answer_for_another_refund", refund.id)
        return refund.outcome()

    async def _post(
        self, path: str, key: str, body: Mapping[str, object]
    ) -> Answer | NotExecuted | Unknown:
        """A call that may change something: an answer that speaks of it, or what its lack means."""
        exchange = await self._http.send(
            "POST", path, headers={"Idempotency-Key": key}, content=orjson.dumps(body)
        )
        match exchange:
            case NotSent(cause):
                return NotExecuted(cause)
            case Lost(cause):
                return Unknown(cause)
            case Answer(status=200 | 201 | 402):
                return exchange
            case Answer():
                return refused(exchange)

    # ── finding out ───────────────────────────────────────────────────────────────────────────────

    async def find_payment(self, query: PaymentQuery) -> PaymentLookup:
        """How the charge with our reference stands now; charges show at once."""
        found = await self._get("/v1/charges", ChargeList, params={"reference": query.reference})
        if not isinstance(found, ChargeList):
            return Inconclusive(getattr(found, "cause", "not_found"))
        if any(charge.reference != query.reference for charge in found.data):
            return Inconclusive("answer_for_another_charge")
        order = ("succeeded", "authorized", "pending", "requires_action", "declined", "voided")
        ranked = sorted(found.data, key=lambda charge: order.index(charge.status))
        if not ranked:
            return NotFound(definitive=True)
        moving = {"succeeded", "authorized", "pending"}
        others = tuple(charge.id for charge in ranked[1:] if charge.status in moving)
        return Found(ranked[0].outcome(), others)

    async def fetch_payment(self, gateway_reference: str) -> PaymentLookup:
        """How the charge that the simulator calls so stands now."""
        found = await self._get(f"/v1/charges/{gateway_reference}", ChargeAnswer)
        if not isinstance(found, ChargeAnswer):
            return found
        return Found(found.outcome(), reference=found.reference)

    async def find_refund(self, query: RefundQuery) -> RefundLookup:
        """How the refund with our reference stands now; refunds show at once."""
        found = await self._get("/v1/refunds", RefundList, params={"reference": query.reference})
        if not isinstance(found, RefundList):
            return Inconclusive(getattr(found, "cause", "not_found"))
        if any(refund.reference != query.reference for refund in found.data):
            return Inconclusive("answer_for_another_refund")
        order = ("succeeded", "pending", "failed")
        ranked = sorted(found.data, key=lambda refund: order.index(refund.status))
        if not ranked:
            return NotFound(definitive=True)
        others = (refund.id for refund in ranked[1:] if refund.status in {"succeeded", "pending"})
        return Found(ranked[0].outcome(), tuple(others))

    async def fetch_refund(
        self, gateway_reference: str, payment_reference: str | None = None
    ) -> RefundLookup:
        """How the refund that the simulator calls so stands now."""
        del payment_reference
        found = await self._get(f"/v1/refunds/{gateway_reference}", RefundAnswer)
        if not isinstance(found, RefundAnswer):
            return found
        return Found(found.outcome(), reference=found.reference)

    async def fetch_dispute(self, gateway_reference: str) -> DisputeLookup:
        """How a dispute stands now."""
        found = await self._get(f"/v1/disputes/{gateway_reference}", DisputeAnswer)
        return Found(found.report()) if isinstance(found, DisputeAnswer) else found

    async def list_transactions(self, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
        """Every charge and refund made in the window, in the order they were made."""
        after: str | None = "0"
        for _ in range(PAGES_MAX):
            page = await self._page("/v1/transactions", window, after, TransactionPage)
            for each in page.data:
                yield each.transaction()
            after = page.next_cursor
            if after is None:
                return
        raise ListingFailed("There are more pages than anybody can read.")

    async def list_disputes(self, window: TimeWindow) -> AsyncIterator[DisputeReport]:
        """Every dispute opened or changed in the window."""
        after: str | None = "0"
        for _ in range(PAGES_MAX):
            page = await self._page("/v1/disputes", window, after, DisputePage)
            for each in page.data:
                yield each.report()
            after = page.next_cursor
            if after is None:
                return
        raise ListingFailed("There are more pages than anybody can read.")

    async def _page(
        self, path: str, window: TimeWindow, after: str | None, model: type[Readable]
    ) -> Readable:
        start, end = (
            -(-int(at.timestamp() * 1_000_000) // 1_000) for at in (window.start, window.end)
        )
        params = {"start": str(start), "end": str(end), "limit": PAGE, "after": after or "0"}
        page = await self._get(path, model, params=params)
        if isinstance(page, NotFound):
            raise ListingFailed("not_found")
        if isinstance(page, Inconclusive):
            raise ListingFailed(page.cause)
        return page

    async def _get(
        self, path: str, model: type[Readable], params: Mapping[str, str] | None = None
    ) -> Readable | NotFound | Inconclusive:
        """A look-up; NotFound where the simulator says that there is no such thing."""
        exchange = await self._http.send("GET", path, params=params)
        match exchange:
            case NotSent(cause) | Lost(cause):
                return Inconclusive(cause)
            case Answer(status=200):
                return read(model, exchange) or Inconclusive("unreadable_answer")
            case Answer(status=404):
                problem = read(ProblemAnswer, exchange)
                is_told = problem is not None and problem.error.code == "not_found"
                return NotFound(definitive=True) if is_told else Inconclusive("http_404")
            case Answer():
                return Inconclusive(refused(exchange).cause)

    async def check_credentials(self) -> CredentialCheck:
        """Whether the simulator accepts the secret."""
        exchange = await self._http.send("GET", "/v1/account")
        match exchange:
            case Answer(status=200):
                return CredentialCheck.VALID
            case Answer(status=401 | 403):
                return CredentialCheck.REFUSED
            case _:
                return CredentialCheck.UNREACHABLE

    async def verify_webhook(self, delivery: WebhookDelivery) -> tuple[GatewayEvent, ...]:
        """What a delivery is about, once it is proved to be ours. Raises WebhookRefused."""
        return webhooks.verify(delivery, self._webhook_secrets, self._account_id)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()
