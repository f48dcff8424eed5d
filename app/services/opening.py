"""Opening gateway accounts: their secrets are unsealed once, and again when something changed."""

from datetime import datetime

import orjson
from pydantic import SecretStr

from app.db.base import Row
from app.db.gateway_accounts import CREDENTIALS, PREVIOUS_WEBHOOK_SECRET, WEBHOOK_SECRET
from app.domain.errors import Conflict
from app.gateways.base import AccountMode, AccountSettings, ConfigurationError, Gateway
from app.runtime import Runtime
from app.secrets import Place, Unreadable


def open_account(rt: Runtime, row: Row) -> Gateway:
    """The open account of a row with `gateway_accounts.OPENING`. Raises ConfigurationError."""
    has_previous = _is_previous_good(row, rt.clock.now())
    state = (
        row["gateway"],
        row["mode"],
        row["settings"],
        row["credentials_ciphertext"],
        row["webhook_secret_ciphertext"],
        row["previous_webhook_secret_ciphertext"] if has_previous else None,
    )
    return rt.gateways.account(
        row["gateway_account_id"],
        state,
        lambda: (row["gateway"], settings_of(rt, row, has_previous=has_previous)),
    )


def open_for_caller(rt: Runtime, row: Row) -> Gateway:
    """The same, where somebody waits for an answer. Raises Conflict."""
    try:
        return open_account(rt, row)
    except ConfigurationError as error:
        raise Conflict(str(error), code="gateway_account_unusable") from None


def settings_of(rt: Runtime, row: Row, *, has_previous: bool) -> AccountSettings:
    """All that an adapter needs to open the account. Raises ConfigurationError."""
    given = orjson.loads(row["settings"])
    sealed = [row["webhook_secret_ciphertext"]]
    fields = [WEBHOOK_SECRET, PREVIOUS_WEBHOOK_SECRET]
    if has_previous:
        sealed.append(row["previous_webhook_secret_ciphertext"])
    return AccountSettings(
        mode=AccountMode(row["mode"]),
        credentials=credentials_of(rt, row),
        options=given.get("options", {}),
        webhook_secrets=tuple(
            SecretStr(unsealed(rt, row, text, field))
            for text, field in zip(sealed, fields, strict=False)
            if text is not None
        ),
        base_url=given.get("base_url") or rt.settings.gateway_urls.get(row["gateway"]),
        total_timeout_seconds=rt.settings.gateway_timeout_seconds,
    )


def credentials_of(rt: Runtime, row: Row) -> dict[str, SecretStr]:
    """An account's secret credentials, by name. Raises ConfigurationError."""
    sealed = row["credentials_ciphertext"]
    if sealed is None:
        return {}
    found: dict[str, str] = orjson.loads(unsealed(rt, row, sealed, CREDENTIALS))
    return {name: SecretStr(value) for name, value in found.items()}


def unsealed(rt: Runtime, row: Row, sealed: str, field: str) -> str:
    """A secret of an account. Raises ConfigurationError."""
    place = Place(row["merchant_id"], row["gateway_account_id"], field)
    try:
        return rt.secrets.open(sealed, place)
    except Unreadable as error:
        raise ConfigurationError(
            f"A secret of this gateway account does not open: {error}"
        ) from None


def _is_previous_good(row: Row, now: datetime) -> bool:
    expires_at = row["previous_webhook_secret_expires_at"]
    return expires_at is not None and now < expires_at
