"""Set-ups on their way: a session that is committed is begun, asked about and settled.

Whoever brings the answer (the call itself, the storefront, a webhook or the sweep), it ends in
`settle`. Beginning once more costs nothing but tidiness, so what was lost is begun again with the
same code and key.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import orjson

from app import log
from app.db import events, gateway_accounts, setup_sessions, views
from app.db.base import Row, Tx
from app.db.inbox import Claimed
from app.db.setup_sessions import HANDOVER
from app.domain import setup_session
from app.domain.errors import InvalidRequest
from app.domain.event import Type
from app.domain.inbox import Again, Ignored, Reason, Settled, Verdict
from app.domain.outcome import NotExecuted, Unknown
from app.domain.setup_session import ENDED, Session, Status
from app.domain.vault import MethodSaved, SetupOutcome, SetupStarted
from app.gateways.base import (
    AuthenticationError,
    ConfigurationError,
    Gateway,
    InvalidRequestError,
)
from app.gateways.requests import CustomerDetails, SetupCompletion, SetupRequest
from app.runtime import Runtime
from app.secrets import Place, Unreadable
from app.services import kept_methods
from app.services.opening import open_account
from app.services.sealing import seal

LEASE: Final = timedelta(minutes=5)
CHUNK: Final = 100
CHUNKS_MAX: Final = 1_000
TOLD: Final[Mapping[Status, Type]] = {
    Status.COMPLETED: Type.SETUP_SESSION_COMPLETED,
    Status.FAILED: Type.SETUP_SESSION_FAILED,
    Status.EXPIRED: Type.SETUP_SESSION_EXPIRED,
}
NOTHING: Final[Mapping[str, str]] = {}

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Handover:
    """What the gateway was told of the customer, and what the storefront needs for their part."""

    customer: CustomerDetails
    client_secret: str | None = field(default=None, repr=False)
    redirect_url: str | None = None
    parameters: Mapping[str, str] | None = None
    said: Mapping[str, str] | None = None
    """What the gateway is told at the beginning, in its own words."""
    return_url: str | None = field(default=None, repr=False)
    """Where it sends the customer, if that is a secret; until it has begun."""


async def begin(rt: Runtime, gateway: Gateway, session: Session, terms: Row) -> SetupOutcome:
    """Ask the gateway to begin; what no retry will mend is raised as InvalidRequest."""
    handover = unsealed(rt, session, terms)
    request = SetupRequest(
        setup_code=session.code,
        idempotency_key=session.idempotency_key,
        customer=handover.customer,
        customer_reference=session.gateway_customer_reference,
        return_url=handover.return_url or terms["return_url"],
        cancel_url=terms["cancel_url"],
        currency=terms["currency"],
        amount_max_minor=terms["amount_max"],
        expires_at=terms["mandate_expires_at"],
        description=terms["description"],
        parameters=handover.said or NOTHING,
    )
    try:
        return await gateway.start_setup(request)
    except InvalidRequestError as error:
        raise _invalid(gateway, error) from None
    except AuthenticationError as error:
        logger.error("setup.credentials_refused", gateway=gateway.name, reason=str(error))
        return NotExecuted("credentials_refused")
    except Exception as error:
        logger.exception("setup.adapter_fault", gateway=gateway.name)
        return Unknown(f"adapter_fault_{type(error).__name__}")


async def ask(
    rt: Runtime,
    gateway: Gateway,
    session: Session,
    terms: Row,
    parameters: Mapping[str, str] = NOTHING,
) -> SetupOutcome:
    """How an open session stands, and whatever is left to do of it. Raises InvalidRequest for
    parameters that the gateway did not give.
    """
    assert session.gateway_reference is not None, "only what was begun can be asked about"
    completion = SetupCompletion(
        setup_code=session.code,
        idempotency_key=f"{session.idempotency_key}-complete",
        gateway_reference=session.gateway_reference,
        customer=unsealed(rt, session, terms).customer,
        customer_reference=session.gateway_customer_reference,
        parameters=parameters,
    )
    try:
        return await gateway.complete_setup(completion)
    except InvalidRequestError as error:
        raise _invalid(gateway, error) from None
    except AuthenticationError as error:
        logger.error("setup.credentials_refused", gateway=gateway.name, reason=str(error))
        return NotExecuted("credentials_refused")
    except Exception as error:
        logger.exception("setup.adapter_fault", gateway=gateway.name)
        return Unknown(f"adapter_fault_{type(error).__name__}")


def _invalid(gateway: Gateway, error: InvalidRequestError) -> InvalidRequest:
    logger.warning("setup.invalid_request", gateway=gateway.name, reason=str(error))
    param = None if error.param is None else f"parameters.{error.param}"
    return InvalidRequest(str(error), code="gateway_refused", param=param)


async def settle(rt: Runtime, key: tuple[UUID, UUID], outcome: SetupOutcome) -> Session:
    """Make true what became of a session; told once, however often it is brought."""
    now = rt.clock.now()
    async with rt.db.begin(key[0]) as tx:
        found = await setup_sessions.lock(tx, *key)
        assert found is not None, "sessions are never deleted"
        before, terms = found
        after = setup_session.settle(before, outcome, now)
        if isinstance(outcome, MethodSaved) and after.status is Status.COMPLETED:
            after = await _completed(tx, before, after, outcome, now)
        if after is before:
            return before
        if isinstance(outcome, SetupStarted) and outcome.customer_reference is not None:
            await setup_sessions.keep_gateway_customer(tx, after, outcome.customer_reference, now)
        await setup_sessions.update(tx, after, _handed(rt, after, terms, outcome))
        await _tell(tx, before, after, now)
        return after


async def refuse(rt: Runtime, key: tuple[UUID, UUID], code: str) -> Session:
    """The gateway cannot begin it: the session has failed."""
    now = rt.clock.now()
    async with rt.db.begin(key[0]) as tx:
        found = await setup_sessions.lock(tx, *key)
        assert found is not None, "sessions are never deleted"
        before, _ = found
        after = setup_session.refused(before, code, now)
        if after is not before:
            await setup_sessions.update(tx, after, None)
            await _tell(tx, before, after, now)
        return after


async def _completed(
    tx: Tx, before: Session, after: Session, outcome: MethodSaved, now: datetime
) -> Session:
    """The completed session with its method; failed where its customer is gone."""
    if before.status is Status.COMPLETED:
        return before
    method_id = await kept_methods.keep(tx, after, outcome.method, now)
    if method_id is None:
        if before.status in ENDED:
            return before
        return setup_session.refused(before, "customer_deleted", now)
    return replace(after, payment_method_id=method_id)


async def _tell(tx: Tx, before: Session, after: Session, now: datetime) -> None:
    told = TOLD.get(after.status)
    if told is None or after.status is before.status:
        return
    row = await views.one(tx, views.SETUP_SESSION, after.merchant_id, after.id)
    assert row is not None
    await events.append(tx, after.merchant_id, told, views.SETUP_SESSION, row, now)


def _handed(rt: Runtime, after: Session, terms: Row, outcome: SetupOutcome) -> str | None:
    """What is kept of the handover: as the gateway gave it, until the session ends."""
    if after.status in ENDED:
        return None
    sealed: str | None = terms["handover_ciphertext"]
    if not isinstance(outcome, SetupStarted):
        return sealed
    known = unsealed(rt, after, terms)
    handover = Handover(
        known.customer,
        outcome.client_secret,
        outcome.redirect_url,
        outcome.parameters,
        known.said,
    )
    return sealed_of(rt, after, handover)


def sealed_of(rt: Runtime, session: Session, handover: Handover) -> str:
    """The handover as it may be kept. Raises Conflict where the deployment keeps no secrets."""
    place = Place(session.merchant_id, session.id, HANDOVER)
    return seal(rt, orjson.dumps(handover).decode(), place)


def unsealed(rt: Runtime, session: Session, terms: Row) -> Handover:
    """What `sealed_of` was given; of a session that has ended, or whose key is lost, nothing."""
    sealed = terms["handover_ciphertext"]
    nobody = Handover(CustomerDetails(""))
    if sealed is None:
        return nobody
    try:
        text = rt.secrets.open(sealed, Place(session.merchant_id, session.id, HANDOVER))
    except Unreadable as error:
        logger.error("setup.unreadable", session=str(session.id), reason=str(error))
        return nobody
    given = orjson.loads(text)
    return Handover(**given | {"customer": CustomerDetails(**given["customer"])})


async def settle_told(rt: Runtime, gateway: Gateway, claimed: Claimed) -> Verdict:
    """An event about a set-up: its session is asked about."""
    event, account_id = claimed.event, claimed.account["gateway_account_id"]
    async with rt.db.begin_system() as tx:
        session_id = await setup_sessions.find(
            tx, claimed.merchant_id, account_id, event.our_reference, event.reference
        )
    if session_id is None:
        return Ignored(Reason.NOT_OURS)
    outcome = await _look(rt, gateway, (claimed.merchant_id, session_id))
    if isinstance(outcome, Unknown | NotExecuted):
        return Again(outcome.cause)
    return Settled()


async def settle_due(rt: Runtime) -> int:
    """Begin what was not begun, ask about what nobody told of; how many sessions were due."""
    looked = 0
    for _ in range(CHUNKS_MAX):
        now = rt.clock.now()
        async with rt.db.begin_system() as tx:
            keys = await setup_sessions.claim(tx, now, now + LEASE, CHUNK)
        places = asyncio.Semaphore(rt.settings.charges_in_flight)
        async with asyncio.TaskGroup() as group:
            for key in keys:
                group.create_task(_due(rt, key, places))
        looked += len(keys)
        if len(keys) < CHUNK:
            break
    return looked


async def _due(rt: Runtime, key: tuple[UUID, UUID], places: asyncio.Semaphore) -> None:
    """Look after one session; a fault in it is logged, and the lease brings it back."""
    async with places:
        try:
            async with rt.db.begin(key[0]) as tx:
                found = await setup_sessions.lock(tx, *key)
                assert found is not None, "sessions are never deleted"
                row = await gateway_accounts.to_open(tx, key[0], found[0].gateway_account_id)
            assert row is not None, "accounts are never deleted"
            await _look(rt, open_account(rt, row), key)
        except ConfigurationError as error:
            await settle(rt, key, NotExecuted(f"the account cannot be used: {error}"))
        except Exception:
            logger.exception("setup.fault", session=str(key[1]))


async def _look(rt: Runtime, gateway: Gateway, key: tuple[UUID, UUID]) -> SetupOutcome:
    """Ask how a session stands, or begin it where that was not done; settled, whatever it is."""
    async with rt.db.begin(key[0]) as tx:
        found = await setup_sessions.lock(tx, *key)
    assert found is not None, "sessions are never deleted"
    session, terms = found
    try:
        if session.gateway_reference is None:
            outcome = await begin(rt, gateway, session, terms)
        else:
            outcome = await ask(rt, gateway, session, terms)
    except InvalidRequest as error:
        await refuse(rt, key, error.code)
        return Unknown(error.code)
    await settle(rt, key, outcome)
    return outcome
