"""/v1/test_clocks: time that moves when it is told to. Test mode only."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.api import common as c
from app.api.common import Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import TestClock
from app.api.pages import Created
from app.db.views import TEST_CLOCK
from app.services import test_clocks

router = APIRouter(prefix="/v1/test_clocks", tags=["test_clocks"], route_class=Endpoint)


class TestClockCreate(Input):
    name: c.Name | None = None
    frozen_at: c.Instant


class TestClockAdvance(Input):
    frozen_at: c.Instant


class TestClockList(ListOf[TestClock]):
    pass


@router.post("", operation_id="create_test_clock", status_code=201, response_model=TestClock)
async def create_test_clock(ask: Asked, body: TestClockCreate) -> Response:
    """Create a clock; customers are bound to it when they are created."""
    made = await test_clocks.create(ask.rt, ask.caller, body.name, body.frozen_at)
    return await ask.present(TEST_CLOCK, made, 201)


@router.get("", operation_id="list_test_clocks", response_model=TestClockList)
async def list_test_clocks(ask: Asked, query: Annotated[Created, Query()]) -> Response:
    """List test clocks, the newest first."""
    return await ask.page(TEST_CLOCK, query)


@router.get("/{test_clock_id}", operation_id="get_test_clock", response_model=TestClock)
async def get_test_clock(ask: Asked, test_clock_id: c.TestClockRef) -> Response:
    """Get a test clock."""
    return await ask.one(TEST_CLOCK, test_clock_id)


@router.post(
    "/{test_clock_id}/advance",
    operation_id="advance_test_clock",
    status_code=202,
    response_model=TestClock,
)
async def advance_test_clock(
    ask: Asked, test_clock_id: c.TestClockRef, body: TestClockAdvance
) -> Response:
    """Send the clock forward: it is `advancing` until everything on the way has happened."""
    await test_clocks.aim(ask.rt, ask.caller, test_clock_id, body.frozen_at)
    return await ask.present(TEST_CLOCK, test_clock_id, 202)
