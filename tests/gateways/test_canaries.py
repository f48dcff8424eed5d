"""Card numbers and the account's own secrets planted in every string that a gateway answers, one
after the other: none comes through an adapter, in no value, no exception and no log.

What comes out of an adapter is all that the engine ever hears of a gateway, so it is held to here;
that nothing goes past it is shown by whole stories (tests/services/test_canary_stories.py).
"""

import re
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from app.domain.outcome import Authorized
from app.domain.vault import MethodSaved, SetupStarted
from app.gateways import registry
from app.gateways.base import AccountSettings, Gateway, GatewayError
from app.gateways.capabilities import News
from app.gateways.discreet import Discreet, Discretion
from app.gateways.registry import open_gateway
from app.gateways.requests import (
    CaptureRequest,
    CustomerRequest,
    MethodReference,
    VoidRequest,
)
from app.testing.cases.vault import completion, setup_of, somebody
from app.testing.harness import Behaviour, Harness, Kept, Trait
from app.testing.trial import Trial, new_code, patient
from tests import canaries
from tests.canaries import CARDS, listening
from tests.gateways.authorizenet_harness import AuthorizeNetHarness
from tests.gateways.fakes.authorizenet.process import start_fake
from tests.gateways.paypal import start_paypal
from tests.gateways.paypal_harness import PayPalHarness
from tests.gateways.planting import PlantedLine, Spot, planting
from tests.gateways.razorpay import start_razorpay
from tests.gateways.razorpay_double import RazorpayDouble
from tests.gateways.simulator_harness import SimulatorHarness
from tests.gateways.stripe import start_stripe
from tests.gateways.stripe_harness import StripeHarness
from tests.simulator import start_simulator

Act: TypeAlias = Callable[[], Awaitable[Any]]
Case: TypeAlias = Callable[[Trial], Awaitable[Act | None]]

DOUBLES: dict[str, tuple[Any, Any]] = {
    "simulator": (start_simulator, SimulatorHarness),
    "authorizenet": (start_fake, AuthorizeNetHarness),
    "paypal": (start_paypal, PayPalHarness),
    "razorpay": (start_razorpay, RazorpayDouble),
    "stripe": (start_stripe, StripeHarness),
}
MUCH = 1_000_000
WORD = re.compile(r"\w+")


@pytest.fixture(scope="module", params=DOUBLES)
def harness(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Harness]:
    """Each gateway's double. What its judges say of our requests does not count: a planted name is
    sent back to it.
    """
    start, make = DOUBLES[request.param]
    folder: Path = tmp_path_factory.mktemp(request.param)
    with start(folder) as process:
        yield make(process)


@pytest.fixture
async def trial(harness: Harness, anyio_backend: str) -> AsyncIterator[Trial]:
    """An account that is as discreet as the engine's, but paced by nobody, on a line that can be
    sown.
    """
    async with planting(harness) as line:
        opened = discreet(harness, patient(harness, line))
        yield Trial(harness, line, opened, opened)
        await opened.aclose()


def discreet(harness: Harness, settings: AccountSettings) -> Gateway:
    return Discreet(open_gateway(harness.gateway, settings), Discretion.of(settings))


def secrets_of(trial: Trial, case: Case) -> tuple[str, ...]:
    is_stranger = case is a_charge_by_a_stranger
    opened = trial.harness.stranger if is_stranger else trial.harness.account
    settings = opened(trial.line.url)
    keys = (*settings.credentials.values(), *settings.webhook_secrets)
    return tuple(key.get_secret_value() for key in keys)


# ── what is asked ─────────────────────────────────────────────────────────────────────────────────


async def a_customer(trial: Trial) -> Act:
    async def act() -> Any:
        who = somebody()
        return await trial.gateway.create_customer(CustomerRequest(new_code(), who))

    return act


async def a_set_up(trial: Trial) -> Act:
    return lambda: trial.gateway.start_setup(setup_of(trial, somebody()))


async def what_a_set_up_came_to(trial: Trial) -> Act:
    request = setup_of(trial, somebody())
    begun = await trial.gateway.start_setup(request)
    assert isinstance(begun, SetupStarted)
    back = await trial.harness.customer_sets_up(begun, confirms=True)
    asked = completion(request, begun, dict(back))
    assert isinstance(await trial.gateway.complete_setup(asked), MethodSaved)
    return lambda: trial.gateway.complete_setup(asked)


async def what_a_failed_set_up_came_to(trial: Trial) -> Act | None:
    if Trait.SETUP_FAILS in trial.harness.lacks or trial.harness.gateway == "razorpay":
        return None
    request = setup_of(trial, somebody())
    begun = await trial.gateway.start_setup(request)
    assert isinstance(begun, SetupStarted)
    back = dict(await trial.harness.customer_sets_up(begun, confirms=False))
    return lambda: trial.gateway.complete_setup(completion(request, begun, back))


async def a_kept_method(trial: Trial) -> Act:
    kept = await trial.harness.keep(Behaviour.OK)
    named = MethodReference(kept.reference, kept.customer_reference)
    return lambda: trial.gateway.get_payment_method(named)


async def a_method_let_go_of(trial: Trial) -> Act:
    async def act() -> Any:
        kept = await trial.harness.keep(Behaviour.OK)
        named = MethodReference(kept.reference, kept.customer_reference)
        return await trial.gateway.detach_payment_method(named, idempotency_key=new_code())

    return act


def _charges(trial: Trial, kept: Kept) -> Act:
    async def act() -> Any:
        return await trial.gateway.charge(await trial.charge_of(kept))

    return act


async def a_charge(trial: Trial) -> Act:
    return _charges(trial, await trial.harness.keep(Behaviour.OK))


async def a_decline(trial: Trial) -> Act:
    return _charges(trial, await trial.harness.keep_declining(next(iter(trial.harness.declines))))


async def a_charge_that_wants_its_customer(trial: Trial) -> Act | None:
    if Trait.REQUIRES_ACTION in trial.harness.lacks:
        return None
    return _charges(trial, await trial.harness.keep(Behaviour.REQUIRES_ACTION))


async def a_charge_of_no_method(trial: Trial) -> Act:
    kept = await trial.harness.keep(Behaviour.OK)
    absent = kept.reference[:-3] + ("000" if kept.reference[-3:] != "000" else "111")
    return _charges(trial, Kept(absent, kept.customer_reference, kept.customer))


async def a_charge_by_a_stranger(trial: Trial) -> Act:
    request = await trial.charge_of()
    opened = discreet(trial.harness, trial.harness.stranger(trial.line.url))

    async def act() -> Any:
        return await opened.charge(request)

    return act


async def a_hold_captured(trial: Trial) -> Act | None:
    if not trial.can.manual_capture:
        return None
    kept = await trial.harness.keep(Behaviour.OK)

    async def act() -> Any:
        charge = await trial.charge_of(kept, is_captured=False)
        held = await trial.gateway.charge(charge)
        if not isinstance(held, Authorized):
            return held
        reference, amount = held.gateway_reference, charge.amount_minor
        asked = CaptureRequest(new_code(), reference, amount, charge.currency)
        return held, await trial.gateway.capture(asked)

    return act


async def a_hold_given_up(trial: Trial) -> Act | None:
    if not trial.can.manual_capture:
        return None
    kept = await trial.harness.keep(Behaviour.OK)

    async def act() -> Any:
        held = await trial.gateway.charge(await trial.charge_of(kept, is_captured=False))
        if not isinstance(held, Authorized):
            return held
        void = VoidRequest(new_code(), held.gateway_reference)
        return await trial.gateway.void(void), await trial.gateway.void(void)

    return act


async def a_refund(trial: Trial) -> Act:
    charge, paid = await trial.paid(amount_minor=MUCH)
    return lambda: trial.gateway.refund(trial.refund_of(charge, paid, 100))


async def too_large_a_refund(trial: Trial) -> Act:
    charge, paid = await trial.paid()
    return lambda: trial.gateway.refund(trial.refund_of(charge, paid, 2 * charge.amount_minor))


async def a_charge_looked_up(trial: Trial) -> Act:
    charge, paid = await trial.paid()

    async def act() -> Any:
        fetched = await trial.gateway.fetch_payment(paid.gateway_reference)
        return await trial.find(charge), await trial.find(charge, paid.gateway_reference), fetched

    return act


async def a_decline_looked_up(trial: Trial) -> Act:
    kept = await trial.harness.keep_declining(next(iter(trial.harness.declines)))
    charge = await trial.charge_of(kept)
    await trial.gateway.charge(charge)
    await trial.harness.settle()
    return lambda: trial.find(charge)


async def a_refund_looked_up(trial: Trial) -> Act:
    charge, paid = await trial.paid()
    refund = trial.refund_of(charge, paid, 100)
    done = await trial.gateway.refund(refund)
    named = getattr(done, "gateway_reference", None)

    async def act() -> Any:
        fetched = await trial.gateway.fetch_refund(named, paid.gateway_reference) if named else None
        return await trial.find_refund(refund), fetched

    return act


async def the_books(trial: Trial) -> Act:
    charge, paid = await trial.paid()
    await trial.gateway.refund(trial.refund_of(charge, paid, 100))
    await trial.harness.settle()

    async def act() -> Any:
        return [each async for each in trial.gateway.list_transactions(trial.window())]

    return act


async def the_disputes(trial: Trial) -> Act | None:
    if trial.can.disputes is News.NONE:
        return None
    _, paid = await trial.paid()
    dispute = await trial.harness.dispute(paid.gateway_reference)

    async def act() -> Any:
        found = await trial.gateway.fetch_dispute(dispute)
        listed = [each async for each in trial.gateway.list_disputes(trial.window())]
        return found, listed

    return act


async def whether_the_key_is_good(trial: Trial) -> Act:
    return trial.gateway.check_credentials


CASES: tuple[Case, ...] = (
    the_books,  # while they are short
    the_disputes,
    a_customer,
    a_set_up,
    what_a_set_up_came_to,
    what_a_failed_set_up_came_to,
    a_kept_method,
    a_method_let_go_of,
    a_charge,
    a_decline,
    a_charge_that_wants_its_customer,
    a_charge_of_no_method,
    a_charge_by_a_stranger,
    a_hold_captured,
    a_hold_given_up,
    a_refund,
    too_large_a_refund,
    a_charge_looked_up,
    a_decline_looked_up,
    a_refund_looked_up,
    whether_the_key_is_good,
)


async def heard(act: Act) -> str:
    """All that whoever asked comes to know, secrets for the storefront included."""
    try:
        said = await act()
    except GatewayError as error:
        told = (str(error), getattr(error, "code", None), getattr(error, "param", None))
        return f"{told} {''.join(traceback.format_exception(error))}"
    except Exception as error:
        return "".join(traceback.format_exception(error))
    parts = said if isinstance(said, tuple | list) else [said]
    return repr([asdict(part) if is_dataclass(part) else part for part in parts])


def grouped(spots: set[Spot], gateway: str) -> list[set[Spot]]:
    """What is planted at once: strings of one name; those whose name the adapter does not know,
    all together.
    """
    package = Path(registry.__file__).parent / gateway
    known = set(WORD.findall("".join(file.read_text() for file in package.glob("*.py"))))
    groups: dict[tuple[str, str], set[Spot]] = defaultdict(set)
    for kind, way in sorted(spots):
        name = next((word for word in reversed(way) if word != "*"), "")
        is_known = name in known or way[0] == "headers"
        groups[(kind, name) if is_known else ("", "")].add((kind, way))
    return list(groups.values())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_no_canary_in_any_string_of_an_answer_comes_through(
    trial: Trial, case: Case, capfd: pytest.CaptureFixture[str]
) -> None:
    act = await case(trial)
    if act is None:
        return
    line, secrets = trial.line, secrets_of(trial, case)
    assert isinstance(line, PlantedLine)
    with line.sown():
        await heard(act)
    groups = grouped(line.spots, trial.harness.gateway)
    leaks: list[str] = []
    with listening(capfd) as logged:
        for number, group in enumerate(groups):
            sentence = f"{CARDS[number % 3]}. Or {secrets[number % len(secrets)]}."
            canary = sentence if number % 2 else CARDS[0]
            with line.sown(canary, group.__contains__):
                told = await heard(act)
            if canaries.found_in(told + logged(), secrets):
                leaks.append(f"{sorted(group)[:3]}: {told}")
    assert not leaks, f"{len(leaks)} of {len(groups)}\n" + "\n".join(leaks[:10])
