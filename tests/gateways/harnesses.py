"""Every gateway that is tried by the contract: a line here, a file beside this one."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

from app.testing.harness import Harness
from tests.gateways import (
    authorizenet_harness,
    fifth_harness,
    paypal_harness,
    razorpay_harness,
    simulator_harness,
    stripe_harness,
)

Opened: TypeAlias = Callable[[Path], AbstractAsyncContextManager[Harness]]
"""Starts a double, with a folder of its own for whatever it keeps; yields the harness."""

HARNESSES: Mapping[str, Opened] = {
    "simulator": simulator_harness.simulator,
    "simulator_per_order": simulator_harness.simulator_per_order,
    "simulator_without_keys": simulator_harness.simulator_without_keys,
    "authorizenet": authorizenet_harness.authorizenet,
    "fifth": fifth_harness.fifth,
    "paypal": paypal_harness.paypal,
    "razorpay": razorpay_harness.razorpay,
    "razorpay_unannounced": razorpay_harness.razorpay_unannounced,
    "stripe": stripe_harness.stripe,
}
