"""The contract that every gateway's adapter passes, as a pytest suite.

In a test module of yours:

    import pytest
    from app.testing.gateway_contract import *

    @pytest.fixture
    async def harness():
        async with my_double() as url:
            yield MyHarness(url)

`app.testing.harness` says what a Harness is. The cases are coroutines: let anyio's pytest plugin
run them on asyncio (`anyio_mode = "auto"`, and a fixture `anyio_backend` that returns `asyncio`).
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from importlib import import_module
from typing import Final

import pytest

from app.gateways.registry import open_gateway
from app.testing.harness import Harness
from app.testing.line import open_line
from app.testing.trial import HASTE_SECONDS, Trial, patient

ABOUT: Final = (
    *("accounts", "captures", "charges", "listing", "lost", "refunds", "vault", "webhooks"),
)
"""The modules of `app.testing.cases`."""

for _about in ABOUT:
    for _name, _case in vars(import_module(f"app.testing.cases.{_about}")).items():
        if _name.startswith("test_"):
            assert _name not in globals(), f"two cases are called {_name}"
            globals()[_name] = _case


@pytest.fixture
async def trial(harness: Harness, anyio_backend: str) -> AsyncIterator[Trial]:
    """The adapter on trial, with a line of its own to the double."""
    del anyio_backend
    async with open_line(harness) as line:
        settings = patient(harness, line)
        hasty = replace(settings, total_timeout_seconds=HASTE_SECONDS)
        gateways = [open_gateway(harness.gateway, each) for each in (settings, hasty)]
        try:
            yield Trial(harness, line, *gateways)
        finally:
            for gateway in gateways:
                await gateway.aclose()
