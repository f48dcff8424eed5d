"""Accounts: credentials, modes, secrets that stay secret, many calls at once, and the end."""

import asyncio
import logging
from dataclasses import replace

import pytest

from app.domain.outcome import Succeeded
from app.gateways.base import (
    AccountMode,
    AuthenticationError,
    ConfigurationError,
    CredentialCheck,
    GatewayError,
)
from app.gateways.capabilities import FuzzyWindow, NativeKey
from app.gateways.registry import factory, open_gateway
from app.gateways.requests import PaymentQuery
from app.testing.harness import Behaviour, Fault, Verb
from app.testing.trial import AMOUNT, Trial, eventually, new_code

AT_ONCE = 50
LATENCY_SECONDS = 0.1
NOBODY_LISTENS = "http://127.0.0.1:9"


async def test_right_credentials_are_valid(trial: Trial) -> None:
    """Asked, the gateway says so."""
    assert await trial.gateway.check_credentials() is CredentialCheck.VALID


async def test_wrong_credentials_are_an_error_and_move_nothing(trial: Trial) -> None:
    """No decline, no unknown: nothing was executed, and no retry will mend it."""
    request = await trial.charge_of()
    async with trial.account(trial.harness.stranger(trial.line.url)) as gateway:
        assert await gateway.check_credentials() is CredentialCheck.REFUSED
        with pytest.raises(AuthenticationError):
            await gateway.charge(request)
        with pytest.raises(AuthenticationError):
            await gateway.find_payment(PaymentQuery(request.attempt_code))
    assert await trial.charged(request) == 0


async def test_a_gateway_that_cannot_be_reached_says_nothing_of_credentials(trial: Trial) -> None:
    """Neither valid nor refused."""
    async with trial.account(trial.harness.account(NOBODY_LISTENS)) as gateway:
        assert await gateway.check_credentials() is CredentialCheck.UNREACHABLE


async def test_every_needed_credential_is_asked_for(trial: Trial) -> None:
    """Without one of them the account is not opened, and the complaint names it."""
    settings = trial.settings()
    for field in factory(trial.harness.gateway).fields:
        if not field.is_required:
            continue
        credentials = {k: v for k, v in settings.credentials.items() if k != field.name}
        options = {k: v for k, v in settings.options.items() if k != field.name}
        with pytest.raises(ConfigurationError, match=field.name):
            open_gateway(
                trial.harness.gateway, replace(settings, credentials=credentials, options=options)
            )


async def test_an_account_is_never_opened_in_the_other_mode(trial: Trial) -> None:
    """Test credentials do not make a live account, nor does a live account speak elsewhere."""
    settings = trial.settings(mode=AccountMode.LIVE)
    with pytest.raises(ConfigurationError):
        open_gateway(trial.harness.gateway, settings)
    opens = factory(trial.harness.gateway)
    if (
        any(field.test_prefixes for field in opens.fields)
        or not opens.capabilities.moves_real_money
    ):
        with pytest.raises(ConfigurationError):
            open_gateway(trial.harness.gateway, replace(settings, base_url=None))


async def test_secrets_appear_nowhere(
    trial: Trial, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not in what is printed, logged, raised or answered, through good and bad days."""
    caplog.set_level(logging.DEBUG)
    settings = trial.harness.stranger(trial.line.url)
    seen = [repr(settings), repr(trial.gateway), str(trial.gateway)]
    request = await trial.charge_of()
    async with trial.account(settings) as stranger:
        seen += [repr(stranger), repr(await stranger.check_credentials())]
        try:
            seen.append(repr(await stranger.charge(request)))
        except GatewayError as error:
            seen += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
    for fault in (Fault.ERROR_AFTER, Fault.UNREADABLE, Fault.RESET_BEFORE):
        trial.line.strike(fault, Verb.CHARGE, 1)
        seen.append(repr(await trial.gateway.charge(await trial.charge_of())))
    printed = capsys.readouterr()
    seen += [printed.out, printed.err, caplog.text]
    mine = trial.settings()
    kept = [*settings.credentials.values(), *mine.credentials.values(), *mine.webhook_secrets]
    leaked = [s for s in kept if any(s.get_secret_value() in text for text in seen)]
    assert kept
    assert not leaked, f"{len(leaked)} secrets were shown"


async def test_many_calls_go_out_at_once_and_none_is_mixed_up(trial: Trial) -> None:
    """Fifty charges over one account, each answered with its own amount."""
    kept = [await trial.harness.keep(Behaviour.OK) for _ in range(AT_ONCE)]
    requests = [await trial.charge_of(k, AMOUNT + n) for n, k in enumerate(kept)]
    trial.line.latency_seconds = LATENCY_SECONDS
    most = 0

    async def watch() -> None:
        nonlocal most
        for _ in range(1_000):
            most = max(most, trial.line.connections)
            await asyncio.sleep(LATENCY_SECONDS / 10)

    watching = asyncio.create_task(watch())
    outcomes = await asyncio.gather(*(trial.gateway.charge(request) for request in requests))
    watching.cancel()
    trial.line.latency_seconds = 0.0

    await trial.harness.settle()
    for request, outcome in zip(requests, outcomes, strict=True):
        ended = await trial.ended(request, outcome)
        assert isinstance(ended, Succeeded), ended
        assert ended.amount_minor == request.amount_minor
        assert await trial.charged(request) == request.amount_minor
    assert most > min(AT_ONCE, trial.can.in_flight_max) // 2, "they went one after another"


async def test_closing_lets_go_of_every_connection(trial: Trial) -> None:
    """Nothing is left open behind an account."""
    gateway = open_gateway(trial.harness.gateway, trial.settings())
    await gateway.check_credentials()
    before = trial.line.connections
    await gateway.aclose()

    async def closed() -> bool | None:
        return True if trial.line.connections <= max(0, before - 1) else None

    assert await eventually(closed)


async def test_what_is_promised_makes_sense(trial: Trial) -> None:
    """Capabilities that could not be acted on would be worse than none."""
    can = trial.can
    assert can.reference_length_max >= len(new_code())
    assert can.lookup_freshness_seconds >= 0
    assert can.effect_latest_seconds >= 0
    assert can.in_flight_max > 0
    assert can.requests_per_second is None or can.requests_per_second > 0
    assert can.pending_seconds_max > can.requires_lead_time_seconds
    assert can.currencies is None or trial.harness.currency in can.currencies
    keys = (
        can.charge_repeatability,
        can.refund_repeatability,
        can.setup_repeatability,
        can.capture_repeatability,
    )
    for key in keys:
        if isinstance(key, NativeKey):
            assert 0 < key.margin_seconds < key.ttl_seconds
        if isinstance(key, FuzzyWindow):
            assert key.window_seconds > 0


async def test_what_a_double_lacks_is_said_with_a_reason(trial: Trial) -> None:
    """A case that does not apply is never passed over in silence."""
    assert all(len(reason.split()) > 1 for reason in trial.harness.lacks.values())
