"""The credentials of gateway accounts: whether they can be right, and what may be shown of them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from app.domain.errors import InvalidRequest, Problem
from app.gateways.base import AccountMode, CredentialField, GatewayFactory

LAST_FOUR: Final = 4
SECRET_CHARS_MIN: Final = 20
"""Of a shorter secret the last four would give too much away."""


def validate(opens: GatewayFactory, given: Mapping[str, str], mode: AccountMode) -> None:
    """Refuse what cannot be the credentials of an account of this mode. Raises InvalidRequest,
    whose words never hold a value.
    """
    faults = list(_faults(opens, given, mode))
    if faults:
        raise InvalidRequest.of(faults, code="invalid_credentials")


def given_of(
    opens: GatewayFactory, given: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """What is secret of valid credentials, and what is not."""
    secret = {each.name for each in opens.fields if each.is_secret}
    return (
        {name: value for name, value in given.items() if name in secret},
        {name: value for name, value in given.items() if name not in secret},
    )


def hints_of(
    opens: GatewayFactory,
    given: Mapping[str, str],
    known: Sequence[Mapping[str, Any]],
    now: datetime,
) -> list[dict[str, Any]]:
    """What may be shown, in the order of the gateway's fields: of those given now, and as it was
    of those `known`.
    """
    before = {hint["name"]: dict(hint) for hint in known}
    order = [each for each in opens.fields if each.name in before.keys() | given.keys()]
    return [
        _hint(each, given[each.name], now) if each.name in given else before[each.name]
        for each in order
    ]


def _hint(each: CredentialField, value: str, now: datetime) -> dict[str, Any]:
    is_long = len(value) >= SECRET_CHARS_MIN
    return {
        "name": each.name,
        "value": None if each.is_secret else value,
        "last_four": value[-LAST_FOUR:] if each.is_secret and is_long else None,
        "updated_at": now.isoformat().replace("+00:00", "Z"),
    }


def _faults(
    opens: GatewayFactory, given: Mapping[str, str], mode: AccountMode
) -> Iterator[Problem]:
    names = {each.name for each in opens.fields}
    known = ", ".join(each.name for each in opens.fields) or "nothing"
    for name in sorted(given.keys() - names):
        yield Problem(f"The gateway takes {known}.", f"credentials.{name}")
    for each in opens.fields:
        value, param = given.get(each.name), f"credentials.{each.name}"
        if not value:
            if each.is_required or value is not None:
                yield Problem(f"It is missing: {each.description}", param)
            continue
        is_live = mode is AccountMode.LIVE
        if value.startswith(each.test_prefixes if is_live else each.live_prefixes):
            other = AccountMode.TEST if is_live else AccountMode.LIVE
            yield Problem(f"It is of {other} mode, and this account is of {mode} mode.", param)
        elif each.pattern is not None and not re.fullmatch(each.pattern, value):
            yield Problem(f"It does not look like one: {each.description}", param)
