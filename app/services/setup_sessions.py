"""Set-up sessions: a customer enters a payment method at the gateway, never here.

The session is committed before the gateway is asked to begin; a storefront goes on with its client
token, and with nothing else of the merchant's.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from app import ids
from app.db import customers, gateway_accounts, payment_methods, setup_sessions, views
from app.db.base import Row, Tx
from app.db.setup_sessions import NewSession
from app.db.views import SETUP_SESSION
from app.domain.errors import Conflict, InvalidRequest
from app.domain.offer_token import digest
from app.domain.setup_session import ENDED, LIFE, SEND_LEASE, Session, Status
from app.domain.vault import SetupFlow
from app.gateways.base import Gateway
from app.gateways.requests import CustomerDetails
from app.ids import new_id, new_token, show
from app.runtime import Runtime
from app.services import idempotency, lookup, setup_calls
from app.services.caller import Caller
from app.services.opening import open_for_caller
from app.services.payments import reference
from app.services.setup_calls import Handover

TOKEN_PREFIX: Final = "ct_"  # noqa: S105  how client tokens begin


@dataclass(frozen=True, slots=True)
class CreateSetupSession:
    """Who is to enter a payment method, where, and on what terms."""

    customer_id: UUID
    gateway_account_id: UUID | None = None
    return_url: str | None = None
    secret_return_url: str | None = field(default=None, repr=False)
    """In its place, where whoever knows the address may act by it: kept sealed, and never shown."""
    cancel_url: str | None = None
    currency: str | None = None
    amount_max: int | None = None
    mandate_expires_at: datetime | None = None
    description: str | None = None
    phone: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What else this gateway is told, in its own words."""
    make_default: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, what is handed to the customer's page, and its token where it is new."""

    session: Row
    handover: Handover
    client_token: str | None = field(default=None, repr=False)


async def create(rt: Runtime, caller: Caller, cmd: CreateSetupSession) -> Opened:
    """Begin to keep a payment method. Raises InvalidRequest, Conflict.

    Where the gateway does not answer, the session is `starting`, and is begun by the sweep.
    """
    account, gateway = await _account(rt, caller, cmd.gateway_account_id)
    leads_back = (cmd.secret_return_url or cmd.return_url) is not None
    if gateway.capabilities.setup_flow is SetupFlow.REDIRECT and not leads_back:
        raise InvalidRequest(
            "This gateway sends the customer to a page of its own, and from there to return_url.",
            code="return_url_missing",
            param="return_url",
        )
    token = TOKEN_PREFIX + new_token()
    async with rt.db.begin(caller.merchant_id) as tx:
        new = await _new(rt, tx, caller, cmd, account, digest(token))
        await setup_sessions.insert(tx, new)
        await idempotency.answered(tx, caller, show("setup", new.session.id))
    key = (caller.merchant_id, new.session.id)
    session, terms = await _load(rt, key)
    try:
        outcome = await setup_calls.begin(rt, gateway, session, terms)
    except InvalidRequest as error:
        await setup_calls.refuse(rt, key, error.code)
    else:
        await setup_calls.settle(rt, key, outcome)
    return await _opened(rt, key, token)


async def open_again(rt: Runtime, caller: Caller, id: UUID, client_token: str | None) -> Opened:
    """What the customer's page needs, once more. Raises NotFound."""
    key = (caller.merchant_id, id)
    _, terms = await _load(rt, key)
    _check_token(caller, terms, client_token)
    return await _opened(rt, key)


async def complete(
    rt: Runtime,
    caller: Caller,
    id: UUID,
    client_token: str | None,
    parameters: Mapping[str, str],
) -> Session:
    """Go on with what the gateway's script gave the page, or just ask how it stands.

    May be called at any time and again. Raises NotFound, Conflict while it has not begun,
    InvalidRequest for parameters that the gateway did not give.
    """
    key = (caller.merchant_id, id)
    session, terms = await _load(rt, key)
    _check_token(caller, terms, client_token)
    if session.status in ENDED:
        return session
    if session.gateway_reference is None:
        raise Conflict(
            "The gateway has not begun it yet; ask again.", code="setup_session_starting"
        )
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await gateway_accounts.to_open(tx, caller.merchant_id, session.gateway_account_id)
    assert row is not None, "accounts are never deleted"
    outcome = await setup_calls.ask(rt, open_for_caller(rt, row), session, terms, parameters)
    return await setup_calls.settle(rt, key, outcome)


async def _new(
    rt: Runtime, tx: Tx, caller: Caller, cmd: CreateSetupSession, account: Row, hashed: bytes
) -> NewSession:
    if not await customers.lock(tx, caller.merchant_id, cmd.customer_id):
        raise InvalidRequest(
            "There is no such customer.", code="reference_not_found", param="customer_id"
        )
    now, session_id = rt.clock.now(), new_id()
    account_id = account["gateway_account_id"]
    session = Session(
        id=session_id,
        merchant_id=caller.merchant_id,
        customer_id=cmd.customer_id,
        gateway_account_id=account_id,
        status=Status.STARTING,
        code=reference(session_id),
        created_at=now,
        expires_at=now + LIFE,
        make_default=cmd.make_default,
        gateway_customer_reference=await setup_sessions.gateway_customer(
            tx, caller.merchant_id, cmd.customer_id, account_id
        ),
        look_up_at=now + SEND_LEASE,
    )
    customer = await views.one(tx, views.CUSTOMER, caller.merchant_id, cmd.customer_id)
    assert customer is not None
    return NewSession(
        session=session,
        client_token_hash=hashed,
        handover_ciphertext=setup_calls.sealed_of(rt, session, _handover(customer, cmd)),
        return_url=cmd.return_url,
        cancel_url=cmd.cancel_url,
        currency=cmd.currency,
        amount_max=cmd.amount_max,
        mandate_expires_at=cmd.mandate_expires_at,
        description=cmd.description,
        metadata=cmd.metadata,
    )


def _handover(customer: Row, cmd: CreateSetupSession) -> Handover:
    details, said = _details(customer, cmd), dict(cmd.parameters)
    return Handover(details, said=said, return_url=cmd.secret_return_url)


def _details(customer: Row, cmd: CreateSetupSession) -> CustomerDetails:
    return CustomerDetails(
        reference=ids.show("cus", customer["id"]),
        email=customer["email"],
        name=customer["name"],
        phone=cmd.phone,
        country=orjson.loads(customer["address"]).get("country"),
    )


async def _account(rt: Runtime, caller: Caller, named: UUID | None) -> tuple[Row, Gateway]:
    """The account to keep it at: the one that is named, else the default. Raises
    InvalidRequest, Conflict.
    """
    async with rt.db.begin(caller.merchant_id) as tx:
        chosen = named or await payment_methods.default_gateway_account(tx, caller.merchant_id)
        if chosen is None:
            raise InvalidRequest(
                "There is no default gateway account; name one.", param="gateway_account_id"
            )
        row = await gateway_accounts.to_open(tx, caller.merchant_id, chosen)
    if row is None or row["disabled_at"] is not None:
        raise InvalidRequest(
            "There is no such gateway account, or it is closed.",
            code="reference_not_found",
            param="gateway_account_id",
        )
    return row, open_for_caller(rt, row)


async def _load(rt: Runtime, key: tuple[UUID, UUID]) -> tuple[Session, Row]:
    async with rt.db.begin(key[0]) as tx:
        found = await setup_sessions.lock(tx, *key)
    if found is None:
        raise lookup.missing(SETUP_SESSION)
    return found


def _check_token(caller: Caller, terms: Row, given: str | None) -> None:
    """A page proves by the client token that the session is its customer's; a merchant's secret
    key needs none. Raises NotFound, the same as for no session at all.
    """
    if given is None and not caller.publishable:
        return
    if not hmac.compare_digest(digest(given or ""), terms["client_token_hash"]):
        raise lookup.missing(SETUP_SESSION)


async def _opened(rt: Runtime, key: tuple[UUID, UUID], token: str | None = None) -> Opened:
    session, terms = await _load(rt, key)
    async with rt.db.begin(key[0]) as tx:
        row = await views.one(tx, SETUP_SESSION, *key)
    assert row is not None
    return Opened(row, setup_calls.unsealed(rt, session, terms), token)
