"""Merchants' webhook endpoints: where they are, what they are told, by which secrets they know us.

Whoever changes what an endpoint is told holds the merchant's counter of events, so that each event
is numbered wholly before or wholly after: an endpoint gets all that are numbered from then on.
Locks are taken in one order: counter, lane, endpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from app import addresses, signing
from app.db import audit_log, events, outbox, views, webhook_lanes
from app.db import webhook_endpoints as rows
from app.db.audit_log import Deed
from app.db.base import Row, Tx
from app.db.views import WEBHOOK_ENDPOINT
from app.db.webhook_lanes import Key
from app.domain.delivery import Disabled
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Type
from app.ids import new_id
from app.notify.webhooks import Target
from app.runtime import Runtime
from app.secrets import Place, Unreadable
from app.services import answers, deeds, lookup, sealing
from app.services.caller import Caller
from app.services.customers import check_version
from app.services.metadata import merged

ENDPOINTS_MAX: Final = 20
"""Of a merchant: each event is told to all of them that want it."""
SECRET: Final = "webhook_endpoints.secret_ciphertext"  # noqa: S105  where one is kept
PREVIOUS_SECRET: Final = "webhook_endpoints.previous_secret_ciphertext"  # noqa: S105
OVERLAP: Final = timedelta(days=1)
"""How long a secret that was exchanged still signs, unless the caller says otherwise."""
SYSTEM: Final = "system"


class SecretUnreadable(Exception):
    """An endpoint's secret does not open with the ring of keys; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateEndpoint:
    """An endpoint to be: `event_types` are names, nouns (`invoice.*`) or everything (`*`)."""

    url: str
    event_types: Sequence[str]
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdateEndpoint:
    """Fields of an endpoint to change: url, event_types, description, metadata, enabled."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class RotateSecret:
    """Give an endpoint another secret; for `overlap` the one before signs as well."""

    id: UUID
    overlap: timedelta = OVERLAP
    expected_version: int | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreateEndpoint) -> tuple[Row, str]:
    """Make an endpoint, enabled, with its secret. Raises InvalidRequest, Conflict where there are
    too many, or no keys to keep the secret with.
    """
    check_address(rt, cmd.url)
    now, made, secret = rt.clock.now(), new_id(), signing.new_secret()
    key = caller.merchant_id, made
    new = rows.NewEndpoint(
        id=made,
        url=cmd.url,
        description=cmd.description,
        event_types=cmd.event_types,
        secret_ciphertext=sealing.seal(rt, secret, Place(*key, SECRET)),
        metadata=cmd.metadata,
    )
    async with rt.db.begin(caller.merchant_id) as tx:
        last_number = await outbox.hold(tx, caller.merchant_id)
        if await rows.count(tx, caller.merchant_id) >= ENDPOINTS_MAX:
            raise Conflict(
                f"A merchant has at most {ENDPOINTS_MAX} webhook endpoints.",
                code="too_many_webhook_endpoints",
            )
        await rows.insert(tx, caller.merchant_id, new, now)
        await webhook_lanes.insert(tx, key, last_number)
        row = await _noted(tx, caller, "webhook_endpoint.created", made, now, url=cmd.url)
    return row, secret


async def update(rt: Runtime, caller: Caller, cmd: UpdateEndpoint) -> Row:
    """Change an endpoint. Enabled again it gets what was pending, and all events from now on.

    Raises NotFound, Stale, InvalidRequest.
    """
    if "url" in cmd.changes:
        check_address(rt, cmd.changes["url"])
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        last_number = await outbox.hold(tx, caller.merchant_id)
        before = await _lock(tx, caller, cmd.id, cmd.expected_version)
        metadata = merged(orjson.loads(before["metadata"]), cmd.changes.get("metadata") or {})
        fields = {**before, **cmd.changes, "metadata": metadata}
        await rows.update(tx, caller.merchant_id, cmd.id, fields, now)
        told = (before["enabled"], set(before["event_types"]))
        if told != (fields["enabled"], set(fields["event_types"])) or "url" in cmd.changes:
            await webhook_lanes.resume(tx, (caller.merchant_id, cmd.id), last_number, now)
        row = await _noted(
            tx, caller, "webhook_endpoint.updated", cmd.id, now, changed=sorted(cmd.changes)
        )
    await rt.bell.ring("deliver")
    return row


async def delete(rt: Runtime, caller: Caller, id: UUID, expected_version: int | None = None) -> Row:
    """Take an endpoint away, with its secrets; it is called no more. Raises NotFound, Stale."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        await outbox.hold(tx, caller.merchant_id)
        await _lock(tx, caller, id, expected_version)
        await rows.delete(tx, caller.merchant_id, id, now)
        await webhook_lanes.rest(tx, (caller.merchant_id, id))
        return await _noted(tx, caller, "webhook_endpoint.deleted", id, now)


async def reveal_secret(rt: Runtime, caller: Caller, id: UUID) -> tuple[Row, str]:
    """An endpoint with its present secret. Raises NotFound, Conflict where it does not open."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        kept = await rows.lock(tx, caller.merchant_id, id)
        if kept is None:
            raise lookup.missing(WEBHOOK_ENDPOINT)
        secret = _opened(rt, (caller.merchant_id, id), kept)
        row = await _noted(tx, caller, "webhook_endpoint.secret_revealed", id, now)
    return row, secret


async def rotate_secret(rt: Runtime, caller: Caller, cmd: RotateSecret) -> tuple[Row, str]:
    """Give an endpoint another secret. Raises NotFound, Stale, Conflict where the present one is to
    stay for a while and does not open.
    """
    now, key, secret = rt.clock.now(), (caller.merchant_id, cmd.id), signing.new_secret()
    async with rt.db.begin(caller.merchant_id) as tx:
        await _lock(tx, caller, cmd.id, cmd.expected_version)
        kept = await rows.lock(tx, *key)
        assert kept is not None
        previous, until = None, None
        if cmd.overlap:
            place = Place(*key, PREVIOUS_SECRET)
            previous = sealing.seal(rt, _opened(rt, key, kept), place)
            until = now + cmd.overlap
        sealed = sealing.seal(rt, secret, Place(*key, SECRET))
        await rows.put_secrets(tx, key, sealed, previous, until)
        row = await _noted(tx, caller, "webhook_endpoint.secret_rotated", cmd.id, now)
    return row, secret


async def disable(tx: Tx, key: Key, reason: Disabled, now: datetime) -> None:
    """Call an endpoint no more, with its lane locked, and tell the merchant why."""
    if not await rows.disable(tx, key, reason, now):
        return
    merchant_id, endpoint_id = key
    await webhook_lanes.rest(tx, key)
    row = await views.one(tx, WEBHOOK_ENDPOINT, *key)
    assert row is not None
    before = {"enabled": True, "disabled_reason": None, "disabled_at": None}
    await events.append(
        tx, merchant_id, Type.WEBHOOK_ENDPOINT_DISABLED, WEBHOOK_ENDPOINT, row, now, before
    )
    deed = Deed(
        merchant_id,
        SYSTEM,
        "webhook_endpoint.disabled",
        WEBHOOK_ENDPOINT.object,
        endpoint_id,
        detail={"reason": reason},
    )
    await audit_log.append(tx, deed, now)


def target_of(rt: Runtime, key: Key, row: Row, now: datetime) -> Target:
    """Where an endpoint is called and by which keys. Raises SecretUnreadable."""
    try:
        secrets = [rt.secrets.open(row["secret_ciphertext"], Place(*key, SECRET))]
        expires_at = row["previous_secret_expires_at"]
        if expires_at is not None and now < expires_at:
            place = Place(*key, PREVIOUS_SECRET)
            secrets.append(rt.secrets.open(row["previous_secret_ciphertext"], place))
    except Unreadable as error:
        raise SecretUnreadable(str(error)) from None
    return Target(row["url"], [signing.key_of(secret) for secret in secrets])


def check_address(rt: Runtime, url: str) -> None:
    """Refuse what is not called for merchants. Raises InvalidRequest."""
    try:
        addresses.check(url, private=rt.settings.private_addresses_allowed)
    except addresses.AddressRefused as refused:
        raise InvalidRequest(str(refused), code="address_not_allowed", param="url") from None


def _opened(rt: Runtime, key: Key, kept: Row) -> str:
    try:
        return rt.secrets.open(kept["secret_ciphertext"], Place(*key, SECRET))
    except Unreadable:
        raise Conflict(
            "The secret does not open with the keys of this deployment: rotate it with no overlap.",
            code="secret_unreadable",
        ) from None


async def _lock(tx: Tx, caller: Caller, id: UUID, expected_version: int | None) -> Row:
    """The endpoint as it is, with its lane and itself locked."""
    key = caller.merchant_id, id
    if not await webhook_lanes.lock(tx, [key]) or await rows.lock(tx, *key) is None:
        raise lookup.missing(WEBHOOK_ENDPOINT)
    row = await views.one(tx, WEBHOOK_ENDPOINT, *key)
    assert row is not None
    check_version(row, expected_version)
    return row


async def _noted(
    tx: Tx, caller: Caller, action: str, id: UUID, now: datetime, **detail: object
) -> Row:
    await deeds.note(tx, caller, action, id, now, **detail)
    return await answers.present(tx, caller, WEBHOOK_ENDPOINT, id)
