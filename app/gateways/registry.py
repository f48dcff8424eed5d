"""Which gateways there are: the built-in ones, and any that an installed package offers.

A package adds a gateway by an entry point in the group `perennial.gateways`; the object is a
GatewayFactory (an adapter's class will do), and the entry point's name is the gateway's name.
"""

import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Final

from app.gateways.authorizenet import AUTHORIZENET
from app.gateways.base import (
    AccountMode,
    AccountSettings,
    ConfigurationError,
    CredentialField,
    Gateway,
    GatewayFactory,
)
from app.gateways.paypal import PAYPAL
from app.gateways.razorpay import RAZORPAY
from app.gateways.simulator import SIMULATOR
from app.gateways.stripe import StripeGateway

ENTRY_POINT_GROUP: Final = "perennial.gateways"
BUILT_IN: Final[Mapping[str, GatewayFactory]] = MappingProxyType(
    {
        gateway.name: gateway
        for gateway in (AUTHORIZENET, PAYPAL, RAZORPAY, SIMULATOR, StripeGateway)
    }
)


def names() -> list[str]:
    """Every gateway that can be opened, built-in or installed."""
    return sorted(BUILT_IN.keys() | entry_points(group=ENTRY_POINT_GROUP).names)


def factory(name: str) -> GatewayFactory:
    """What opens accounts at the gateway `name`; built-in ones cannot be replaced."""
    built_in = BUILT_IN.get(name)
    if built_in is not None:
        return built_in
    installed = tuple(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if not installed:
        raise ConfigurationError(f"There is no gateway “{name}”; there are {', '.join(names())}.")
    if len(installed) > 1:
        raise ConfigurationError(f"Several installed packages offer a gateway “{name}”.")
    try:
        loaded: GatewayFactory = installed[0].load()
    except Exception as error:
        raise ConfigurationError(
            f"The package of the gateway “{name}” cannot be loaded: {type(error).__name__}."
        ) from error
    return loaded


def open_gateway(name: str, account: AccountSettings) -> Gateway:
    """An open account at the gateway `name`, without any I/O yet. Raises ConfigurationError."""
    opens = factory(name)
    if account.mode is AccountMode.LIVE:
        if not opens.capabilities.moves_real_money:
            raise ConfigurationError(
                f"The gateway “{name}” moves no real money: a live account cannot use it."
            )
        if account.base_url is not None:
            raise ConfigurationError("A live account always speaks to the gateway's own address.")
    check(opens, account)
    return opens(account)


def check(opens: GatewayFactory, account: AccountSettings) -> None:
    """Whether the account has what the gateway needs, in the right form and of the right mode.

    Raises ConfigurationError, which names fields and never their values.
    """
    fields = {field.name: field for field in opens.fields}
    for given, is_secret in ((account.credentials, True), (account.options, False)):
        for name in given:
            if name not in fields or fields[name].is_secret is not is_secret:
                kind = "credential" if is_secret else "option"
                raise ConfigurationError(f"The gateway “{opens.name}” has no {kind} “{name}”.")
    for field in opens.fields:
        _check_field(field, account)


def _check_field(field: CredentialField, account: AccountSettings) -> None:
    secret = account.credentials.get(field.name)
    value = account.options.get(field.name) if secret is None else secret.get_secret_value()
    if not value:
        if field.is_required:
            raise ConfigurationError(f"“{field.name}” is missing: {field.description}")
        return
    is_live = account.mode is AccountMode.LIVE
    foreign = field.test_prefixes if is_live else field.live_prefixes
    if value.startswith(foreign):
        other = AccountMode.TEST if is_live else AccountMode.LIVE
        raise ConfigurationError(
            f"“{field.name}” is of {other} mode, and the account is of {account.mode} mode."
        )
    if field.pattern is not None and not re.fullmatch(field.pattern, value):
        raise ConfigurationError(f"“{field.name}” does not look like one: {field.description}")
