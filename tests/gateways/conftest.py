"""One simulator per test session, for what is tested of it beyond the contract."""

from collections.abc import Iterator

import pytest

from tests.gateways.paypal import PayPalProcess, start_paypal
from tests.gateways.razorpay import RazorpayFake, start_razorpay
from tests.gateways.stripe import StripeFake, start_stripe
from tests.simulator import SimulatorProcess, start_simulator


@pytest.fixture(scope="session")
def simulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    with start_simulator(tmp_path_factory.mktemp("simulator")) as process:
        yield process


@pytest.fixture
def simulator(simulator_process: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The session's simulator, in fair weather before and after."""
    yield simulator_process
    simulator_process.clear_faults()


@pytest.fixture(scope="session")
def razorpay_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RazorpayFake]:
    with start_razorpay(tmp_path_factory.mktemp("razorpay")) as fake:
        yield fake


@pytest.fixture
def razorpay(razorpay_process: RazorpayFake) -> Iterator[RazorpayFake]:
    """The session's fake Razorpay; no request to it may have been one that the oracle refuses."""
    yield razorpay_process
    razorpay_process.fair()
    assert razorpay_process.violations() == []


@pytest.fixture(scope="session")
def stripe_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeFake]:
    with start_stripe(tmp_path_factory.mktemp("stripe")) as fake:
        yield fake


@pytest.fixture
def stripe(stripe_process: StripeFake) -> Iterator[StripeFake]:
    """The session's Stripe of ours, in fair weather; no oracle may have found fault."""
    found = len(stripe_process.faults_found())
    yield stripe_process
    stripe_process.clear_faults()
    stripe_process.tell("mode", livemode=False)
    assert stripe_process.faults_found()[found:] == []


@pytest.fixture(scope="session")
def paypal_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PayPalProcess]:
    with start_paypal(tmp_path_factory.mktemp("paypal")) as process:
        yield process


@pytest.fixture
def paypal(paypal_process: PayPalProcess) -> Iterator[PayPalProcess]:
    """The session's fake PayPal in fair weather; whatever its judges objected to is a failure."""
    paypal_process.reset()
    yield paypal_process
    assert paypal_process.violations() == []
