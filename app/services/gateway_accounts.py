"""A merchant's gateway accounts: opened with credentials that are never shown again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import gateway_accounts as rows
from app.db.base import Row, Tx
from app.db.gateway_accounts import CREDENTIALS, PREVIOUS_WEBHOOK_SECRET, WEBHOOK_SECRET
from app.db.views import GATEWAY_ACCOUNT
from app.domain.errors import Conflict, InvalidRequest
from app.gateways import registry
from app.gateways.base import AccountMode, ConfigurationError, CredentialCheck, GatewayFactory
from app.ids import new_id
from app.runtime import Runtime
from app.secrets import Place
from app.services import answers, deeds, lookup, opening
from app.services.caller import Caller
from app.services.credentials import given_of, hints_of, validate
from app.services.customers import check_version
from app.services.sealing import seal

PREVIOUS_SECRET_HOURS_MAX: Final = 7 * 24
"""Gateways repeat deliveries for three days at most; a week covers any."""


@dataclass(frozen=True, slots=True)
class CreateGatewayAccount:
    """An account to be opened; `credentials` by the names of the gateway's fields."""

    gateway: str
    name: str | None = None
    mode: AccountMode | None = None
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    make_default: bool = False


@dataclass(frozen=True, slots=True)
class UpdateGatewayAccount:
    """What changes; `credentials` takes the place of those of the same name, None takes one out."""

    id: UUID
    name: str | None = None
    credentials: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class SetWebhookSecret:
    """What deliveries are verified by from now on; the secret before it counts for a while."""

    id: UUID
    secret: str = field(repr=False)
    previous_hours: int
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What a gateway said to an account's credentials, and when."""

    account_id: UUID
    result: CredentialCheck
    at: datetime


async def create(rt: Runtime, caller: Caller, cmd: CreateGatewayAccount) -> Row:
    """Open an account. Raises InvalidRequest, Conflict where the deployment keeps no secrets."""
    opens, mode = _factory(cmd.gateway), _mode(caller, cmd.mode)
    _guard(opens, mode)
    validate(opens, cmd.credentials, mode)
    now, new = rt.clock.now(), _new(rt, caller, cmd, opens, mode)
    async with rt.db.begin(caller.merchant_id) as tx:
        if cmd.make_default:
            await rows.clear_default(tx, caller.merchant_id, new.id)
        elif not await rows.has_default(tx, caller.merchant_id):
            new = replace(new, is_default=True)
        await rows.insert(tx, caller.merchant_id, new, now)
        detail = {"gateway": cmd.gateway, "mode": mode, "credentials": sorted(cmd.credentials)}
        await deeds.note(tx, caller, "gateway_account.created", new.id, now, **detail)
        return await answers.present(tx, caller, GATEWAY_ACCOUNT, new.id)


def _new(
    rt: Runtime, caller: Caller, cmd: CreateGatewayAccount, opens: GatewayFactory, mode: AccountMode
) -> rows.NewAccount:
    account_id = new_id()
    secret, options = given_of(opens, cmd.credentials)
    webhook_secret = cmd.webhook_secret
    if webhook_secret is not None:
        place = Place(caller.merchant_id, account_id, WEBHOOK_SECRET)
        webhook_secret = seal(rt, webhook_secret, place)
    return rows.NewAccount(
        id=account_id,
        gateway=cmd.gateway,
        name=cmd.name or cmd.gateway,
        mode=mode,
        credentials_ciphertext=_sealed(rt, caller.merchant_id, account_id, secret),
        credentials=hints_of(opens, cmd.credentials, [], rt.clock.now()),
        options=options,
        webhook_secret_ciphertext=webhook_secret,
        is_default=cmd.make_default,
    )


async def update(rt: Runtime, caller: Caller, cmd: UpdateGatewayAccount) -> Row:
    """Rename an account, or change some of its credentials. Raises NotFound, Stale,
    InvalidRequest, Conflict.
    """
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await _lock(tx, caller, cmd.id, cmd.expected_version)
        fields: dict[str, object] = {"name": cmd.name or row["name"]}
        if cmd.credentials:
            fields |= _changed_credentials(rt, row, cmd.credentials, now)
        await rows.update(tx, caller.merchant_id, cmd.id, fields)
        detail = {"name": fields["name"], "credentials": sorted(cmd.credentials)}
        await deeds.note(tx, caller, "gateway_account.updated", cmd.id, now, **detail)
        return await answers.present(tx, caller, GATEWAY_ACCOUNT, cmd.id)


async def make_default(
    rt: Runtime, caller: Caller, id: UUID, expected_version: int | None = None
) -> Row:
    """Let new payment methods belong to this account unless another is named."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await _lock(tx, caller, id, expected_version)
        if row["disabled_at"] is not None:
            raise Conflict("The account is disabled.", code="gateway_account_disabled")
        if not row["is_default"]:
            await rows.clear_default(tx, caller.merchant_id, id)
            await rows.update(tx, caller.merchant_id, id, {"is_default": True})
            await deeds.note(tx, caller, "gateway_account.made_default", id, now)
        return await answers.present(tx, caller, GATEWAY_ACCOUNT, id)


async def disable(
    rt: Runtime, caller: Caller, id: UUID, expected_version: int | None = None
) -> Row:
    """Charge nothing there any more: payments on its methods wait for another method.

    What is under way is still looked up, refunded and heard of. Disabled again is no mistake.
    """
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await _lock(tx, caller, id, expected_version)
        if row["disabled_at"] is None:
            fields = {"disabled_at": now, "is_default": False}
            await rows.update(tx, caller.merchant_id, id, fields)
            await deeds.note(tx, caller, "gateway_account.disabled", id, now)
        return await answers.present(tx, caller, GATEWAY_ACCOUNT, id)


async def enable(rt: Runtime, caller: Caller, id: UUID, expected_version: int | None = None) -> Row:
    """Charge there again. Enabled again is no mistake."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await _lock(tx, caller, id, expected_version)
        if row["disabled_at"] is not None:
            is_first = not await rows.has_default(tx, caller.merchant_id)
            fields = {"disabled_at": None, "is_default": is_first}
            await rows.update(tx, caller.merchant_id, id, fields)
            await deeds.note(tx, caller, "gateway_account.enabled", id, now)
        return await answers.present(tx, caller, GATEWAY_ACCOUNT, id)


async def set_webhook_secret(rt: Runtime, caller: Caller, cmd: SetWebhookSecret) -> Row:
    """Verify deliveries by a new secret; the one before it counts for `previous_hours` more.

    Raises NotFound, Stale, Conflict where the deployment keeps no secrets.
    """
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await _lock(tx, caller, cmd.id, cmd.expected_version)
        fields: dict[str, object] = {
            "webhook_secret_ciphertext": seal(rt, cmd.secret, _place(row, WEBHOOK_SECRET)),
            "webhook_secret_updated_at": now,
        }
        fields |= _kept_for_a_while(rt, row, cmd.previous_hours, now)
        await rows.update(tx, caller.merchant_id, cmd.id, fields)
        until = fields["previous_webhook_secret_expires_at"]
        await deeds.note(
            tx, caller, "gateway_account.webhook_secret_set", cmd.id, now, previous_until=until
        )
        return await answers.present(tx, caller, GATEWAY_ACCOUNT, cmd.id)


async def check(rt: Runtime, caller: Caller, id: UUID) -> Checked:
    """Ask the gateway what it says to the account's credentials. Raises NotFound, Conflict."""
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await rows.to_open(tx, caller.merchant_id, id)
    if row is None:
        raise lookup.missing(GATEWAY_ACCOUNT)
    try:
        gateway = opening.open_account(rt, row)
    except ConfigurationError as error:
        raise Conflict(str(error), code="gateway_account_unusable") from None
    result = await gateway.check_credentials()
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        await rows.note_check(tx, caller.merchant_id, id, result, now)
    return Checked(id, result, now)


def _factory(name: str) -> GatewayFactory:
    try:
        return registry.factory(name)
    except ConfigurationError as error:
        raise InvalidRequest(str(error), code="unknown_gateway", param="gateway") from None


def _mode(caller: Caller, wanted: AccountMode | None) -> AccountMode:
    """An account is of its merchant's mode: money of tests is never real, nor the other way."""
    own = AccountMode.LIVE if caller.livemode else AccountMode.TEST
    if wanted not in (None, own):
        raise InvalidRequest(
            f"This merchant is in {own} mode, and so are its gateway accounts.",
            code="mode_mismatch",
            param="mode",
        )
    return own


def _guard(opens: GatewayFactory, mode: AccountMode) -> None:
    if mode is AccountMode.LIVE and not opens.capabilities.moves_real_money:
        raise InvalidRequest(
            f"The gateway “{opens.name}” moves no real money: a live account cannot use it.",
            code="gateway_is_for_tests",
            param="gateway",
        )


async def _lock(tx: Tx, caller: Caller, id: UUID, expected_version: int | None) -> Row:
    row = await rows.lock(tx, caller.merchant_id, id)
    if row is None:
        raise lookup.missing(GATEWAY_ACCOUNT)
    check_version(row, expected_version)
    return row


def _place(row: Row, field: str) -> Place:
    return Place(row["merchant_id"], row["gateway_account_id"], field)


def _sealed(
    rt: Runtime, merchant_id: UUID, account_id: UUID, secret: Mapping[str, str]
) -> str | None:
    if not secret:
        return None
    text = orjson.dumps(dict(secret), option=orjson.OPT_SORT_KEYS).decode()
    return seal(rt, text, Place(merchant_id, account_id, CREDENTIALS))


def _changed_credentials(
    rt: Runtime, row: Row, changes: Mapping[str, str | None], now: datetime
) -> dict[str, object]:
    """The columns that hold an account's credentials, with the changes made."""
    opens = _factory(row["gateway"])
    settings: dict[str, Any] = orjson.loads(row["settings"])
    try:
        kept = {n: s.get_secret_value() for n, s in opening.credentials_of(rt, row).items()}
    except ConfigurationError:
        kept = {}  # their key is lost: whatever is required must be given anew
    merged: dict[str, str | None] = {**kept, **settings.get("options", {}), **changes}
    whole = {name: value for name, value in merged.items() if value is not None}
    validate(opens, whole, AccountMode(row["mode"]))
    secret, options = given_of(opens, whole)
    before = orjson.loads(row["credentials"])
    known = [hint for hint in before if hint["name"] in whole.keys() - changes.keys()]
    given = {name: value for name, value in changes.items() if value is not None}
    merchant_id, account_id = row["merchant_id"], row["gateway_account_id"]
    return {
        "credentials_ciphertext": _sealed(rt, merchant_id, account_id, secret),
        "credentials": orjson.dumps(hints_of(opens, given, known, now)).decode(),
        "settings": orjson.dumps(settings | {"options": options}).decode(),
        "check_result": None,
        "checked_at": None,
    }


def _kept_for_a_while(rt: Runtime, row: Row, hours: int, now: datetime) -> dict[str, object]:
    """The columns of the previous webhook secret, which is the present one for a while longer."""
    sealed = row["webhook_secret_ciphertext"]
    previous = None
    if sealed is not None and hours:
        try:
            secret = opening.unsealed(rt, row, sealed, WEBHOOK_SECRET)
        except ConfigurationError:
            secret = None  # its key is lost: it verifies nothing any more
        if secret is not None:
            previous = seal(rt, secret, _place(row, PREVIOUS_WEBHOOK_SECRET))
    return {
        "previous_webhook_secret_ciphertext": previous,
        "previous_webhook_secret_expires_at": None
        if previous is None
        else now + timedelta(hours=hours),
    }
