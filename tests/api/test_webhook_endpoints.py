"""/v1/webhook_endpoints, /v1/deliveries and the resending of events, over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr

from app.api.nudge import APART_SECONDS
from app.bell import Silent
from app.clock import ManualClock
from app.main import create_app
from app.runtime import Runtime, open_runtime
from app.services import fan_out, webhook_calls
from app.settings import Settings
from tests.api.conftest import NOW, Api, open_merchant
from tests.webhooks import Receiver, receiver
from tests.world import SECRET_KEY
from workers import jobs

pytestmark = pytest.mark.anyio

WHERE = "https://shop.example.com/webhooks"
HOOKS = "/v1/webhook_endpoints"


@pytest.fixture
async def rt(clean_database: str) -> AsyncIterator[Runtime]:
    """A runtime of a deployment that lets endpoints be on its own network."""
    settings = Settings(
        database_url=SecretStr(clean_database),
        secret_keys=SecretStr(SECRET_KEY),
        private_addresses_allowed=True,
        pool_size=6,
    )
    async with open_runtime(settings, clock=ManualClock(NOW), bell=Silent()) as runtime:
        yield runtime


@pytest.fixture
async def hook(anyio_backend: str) -> AsyncIterator[Receiver]:
    async with receiver() as running:
        yield running


async def tell(rt: Runtime) -> None:
    await fan_out.fan_out_due(rt)
    await webhook_calls.deliver_due(rt)


async def listening(api: Api, url: str = WHERE, **options) -> dict:
    return await api.new("webhook_endpoints", **{"url": url, "event_types": ["*"]} | options)


async def test_an_endpoint_is_made_seen_changed_and_deleted(api) -> None:
    body = {"event_types": ["invoice.*", "invoice.*", "refund.failed"], "metadata": {"team": "a"}}
    made = await listening(api, description="The warehouse", **body)
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    path = f"{HOOKS}/{made['id']}"
    assert made == {
        "id": made["id"],
        "object": "webhook_endpoint",
        "url": WHERE,
        "description": "The warehouse",
        "event_types": ["invoice.*", "refund.failed"],
        "enabled": True,
        "disabled_reason": None,
        "disabled_at": None,
        "failing_since": None,
        "previous_secret_expires_at": None,
        "metadata": {"team": "a"},
        "created_at": "2030-01-31T12:00:00Z",
        "deleted_at": None,
        "version": 1,
    }
    shown = await api.get(path)
    assert (shown.json(), shown.headers["etag"]) == (made | {"secret": None}, '"1"')
    change = {"enabled": False, "description": None, "metadata": {"team": None, "b": "c"}}
    changed = (await api.patch(path, change, headers={"If-Match": '"1"'})).json()
    assert changed == shown.json() | {
        "enabled": False,
        "disabled_reason": "by_request",
        "disabled_at": "2030-01-31T12:00:00Z",
        "description": None,
        "metadata": {"b": "c"},
        "version": 2,
    }
    await api.patch(path, {"enabled": True}, status=412, headers={"If-Match": '"1"'})
    assert len((await api.get(f"{HOOKS}?enabled=false")).json()["data"]) == 1
    await api.call("DELETE", path, status=412, headers={"If-Match": '"1"'})
    gone = (await api.call("DELETE", path, status=200)).json()
    assert gone["deleted_at"] == "2030-01-31T12:00:00Z"
    assert (await api.get(HOOKS)).json()["data"] == []
    assert (await api.get(path)).json() == gone
    await api.patch(path, {"enabled": True}, status=404)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "url"),
        ({"url": "shop.example.com"}, "url"),
        ({"url": "ftp://shop.example.com/"}, "url"),
        ({"url": "https://u:p@shop.example.com/"}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["invoice.payed"]}, "event_types[0]"),
        ({"event_types": ["invoice*"]}, "event_types[0]"),
        ({"event_types": ["webhook_endpoint.ping"]}, "event_types[0]"),
        ({"description": "x" * 501}, "description"),
        ({"secret": "whsec_mine"}, "secret"),
    ],
)
async def test_what_makes_no_endpoint_is_refused(api, body, param) -> None:
    whole = {"url": WHERE, "event_types": ["*"]} | body if body else body
    problem = (await api.post(HOOKS, whole, status=422)).json()
    assert param in {problem.get("param"), *(error["param"] for error in problem["errors"])}


async def test_a_secret_is_shown_when_it_is_made_revealed_or_rotated_and_never_else(api) -> None:
    made = await listening(api)
    path = f"{HOOKS}/{made['id']}"
    revealed = (await api.post(f"{path}/reveal_secret", status=200)).json()
    assert revealed["secret"] == made["secret"]
    rotated = (await api.post(f"{path}/rotate_secret", status=200)).json()
    assert rotated["secret"] not in {made["secret"], None}
    assert rotated["previous_secret_expires_at"] == "2030-02-01T12:00:00Z"
    at_once = (await api.post(f"{path}/rotate_secret", {"overlap_seconds": 0}, status=200)).json()
    assert at_once["previous_secret_expires_at"] is None
    assert (await api.get(path)).json()["secret"] is None
    for wrong in ({"overlap_seconds": -1}, {"overlap_seconds": 604_801}, {"overlap": 5}):
        await api.post(f"{path}/rotate_secret", wrong, status=422)
    stale = {"If-Match": '"1"'}
    await api.post(f"{path}/rotate_secret", status=412, headers=stale)


async def test_a_request_sent_twice_is_done_once_and_shows_no_secret_again(api) -> None:
    key = {"Idempotency-Key": "once"}
    body = {"url": WHERE, "event_types": ["*"]}
    made = (await api.post(HOOKS, body, headers=key)).json()
    again = await api.post(HOOKS, body, headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == made | {"secret": None}
    path = f"{HOOKS}/{made['id']}/rotate_secret"
    rotated = (await api.post(path, status=200, headers={"Idempotency-Key": "twice"})).json()
    replayed = (await api.post(path, status=200, headers={"Idempotency-Key": "twice"})).json()
    assert replayed == rotated | {"secret": None}
    revealed = await api.post(f"{HOOKS}/{made['id']}/reveal_secret", status=200)
    assert revealed.json()["secret"] == rotated["secret"]


async def test_keys_need_the_scope(api) -> None:
    made = await listening(api)
    path = f"{HOOKS}/{made['id']}"
    for scopes, statuses in (
        (["webhook_endpoints:read"], (200, 403, 403, 403)),
        (["webhook_endpoints:write"], (200, 200, 403, 403)),
        (["deliveries:read"], (403, 403, 200, 403)),
        (["events:write"], (403, 403, 403, 404)),
    ):
        key = (await api.new("api_keys", scopes=scopes))["secret"]
        theirs = Api(api.client, api.merchant, key)
        await theirs.get(path, statuses[0])
        await theirs.post(f"{path}/reveal_secret", status=statuses[1])
        await theirs.get("/v1/deliveries", statuses[2])
        nowhere = "/v1/events/evt_01k9zs8m4vf1xr7c2n5q0d3tyb/resend"
        await theirs.post(nowhere, {"webhook_endpoint_id": made["id"]}, status=statuses[3])


async def test_deliveries_are_listed_with_what_became_of_them(rt, api, hook) -> None:
    hook.refusals = [503]
    hook.answer_body = "Not now."
    made = await listening(api, hook.url, event_types=["customer.*"])
    customer = await api.new("customers", name="Ada")
    await tell(rt)
    [one] = (await api.get(f"{HOOKS}/{made['id']}/deliveries")).json()["data"]
    [event] = (await api.get("/v1/events?type=customer.created")).json()["data"]
    due = one.pop("due_at")
    assert "2030-01-31T12:00:09" <= due <= "2030-01-31T12:00:11"
    assert one == {
        "id": one["id"],
        "object": "delivery",
        "webhook_endpoint_id": made["id"],
        "event_id": event["id"],
        "event_type": "customer.created",
        "cause": "event",
        "status": "pending",
        "attempt_count": 1,
        "response_status": 503,
        "failure": None,
        "created_at": "2030-01-31T12:00:00Z",
        "settled_at": None,
    }
    failing = (await api.get(f"{HOOKS}/{made['id']}")).json()["failing_since"]
    assert failing == "2030-01-31T12:00:00Z"
    rt.clock.advance(timedelta(seconds=15))
    await tell(rt)
    whole = (await api.get(f"/v1/deliveries/{one['id']}?expand=event,webhook_endpoint")).json()
    assert (whole["status"], whole["settled_at"]) == ("delivered", "2030-01-31T12:00:15Z")
    assert whole["event"] == event | {"sequence": 1}
    assert whole["webhook_endpoint"]["failing_since"] is None
    tried = [(a["ordinal"], a["response_status"], a["excerpt"]) for a in whole["attempts"]]
    assert tried == [(1, 503, "Not now."), (2, 200, None)]
    assert whole["attempts"][0]["started_at"] == "2030-01-31T12:00:00Z"
    assert hook.events[0]["data"]["object"]["id"] == customer["id"]
    for query, count in (
        ("status=delivered", 1),
        ("status=pending", 0),
        (f"event_id={event['id']}", 1),
        ("created_gte=2030-02-01T00:00:00Z", 0),
    ):
        assert len((await api.get(f"/v1/deliveries?{query}")).json()["data"]) == count


async def test_an_event_is_resent_a_time_replayed_and_an_endpoint_pinged(rt, api, hook) -> None:
    made = await listening(api, hook.url, event_types=["customer.*"])
    path = f"{HOOKS}/{made['id']}"
    await api.new("customers")
    await tell(rt)
    event = hook.events[0]
    resent = (
        await api.post(f"/v1/events/{event['id']}/resend", {"webhook_endpoint_id": made["id"]})
    ).json()
    assert (resent["cause"], resent["status"]) == ("resend", "pending")
    pinged = (await api.post(f"{path}/ping")).json()
    assert (pinged["type"], pinged["object_id"]) == ("webhook_endpoint.ping", made["id"])
    await tell(rt)
    span = {"start": "2020-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
    replayed = (await api.post(f"{path}/replay", span, status=200)).json()
    assert replayed == {
        "object": "webhook_replay",
        "deliveries": 1,
        "has_more": False,
        "next_after_sequence": None,
    }
    after = span | {"after_sequence": 1}
    assert (await api.post(f"{path}/replay", after, status=200)).json()["deliveries"] == 0
    early = span | {"end": "2020-01-02T00:00:00Z"}
    assert (await api.post(f"{path}/replay", early, status=200)).json()["deliveries"] == 0
    await tell(rt)
    types = ["customer.created", "customer.created", "webhook_endpoint.ping", "customer.created"]
    assert hook.types == types
    assert [got.id for got in hook.got if got.event["type"] == types[0]] == [event["id"]] * 3
    causes = [d["cause"] for d in (await api.get(f"{path}/deliveries")).json()["data"]]
    assert causes == ["replay", "event", "resend", "event"]
    for wrong in ({}, span | {"start": "yesterday"}, span | {"after_sequence": -1}):
        await api.post(f"{path}/replay", wrong, status=422)
    await api.patch(path, {"enabled": False})
    for call, body in (("ping", {}), ("replay", span)):
        assert (await api.post(f"{path}/{call}", body, status=409)).json()["code"] == (
            "webhook_endpoint_disabled"
        )


async def test_our_events_go_to_no_endpoint_of_theirs(rt, api, other) -> None:
    theirs = await listening(other)
    await api.new("customers")
    [event] = (await api.get("/v1/events?after_sequence=0")).json()["data"]
    body = {"webhook_endpoint_id": theirs["id"]}
    await api.post(f"/v1/events/{event['id']}/resend", body, status=404)
    await other.post(f"/v1/events/{event['id']}/resend", body, status=404)
    assert (await other.get("/v1/deliveries")).json()["data"] == []


@dataclass
class Counting:
    """A bell that counts."""

    rung: list[str] = field(default_factory=list)

    async def ring(self, job: str) -> None:
        self.rung.append(job)

    async def close(self) -> None:
        pass


async def test_writes_wake_the_workers_once_in_a_moment_and_reads_do_not(rt) -> None:
    bell = Counting()
    ringing = replace(rt, bell=bell)
    transport = httpx.ASGITransport(create_app(ringing))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        api = await open_merchant(ringing, client, "First")
        await api.get("/v1/customers")
        await asyncio.sleep(APART_SECONDS * 1.5)
        assert bell.rung == []
        for _ in range(5):
            await api.new("customers")
        deadline = time.monotonic() + 5
        while not bell.rung:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    assert bell.rung[0] == "number_events"
    assert len(bell.rung) < 5
    assert "number_events" in {job.__name__ for job in jobs.ALL}


async def test_a_deployment_without_keys_keeps_no_secrets(clean_database, client, rt) -> None:
    settings = rt.settings.model_copy(update={"secret_keys": None})
    async with open_runtime(settings, clock=ManualClock(NOW), bell=Silent()) as runtime:
        transport = httpx.ASGITransport(create_app(runtime))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as caller:
            api = await open_merchant(runtime, caller, "First")
            body = {"url": WHERE, "event_types": ["*"]}
            refused = (await api.post(HOOKS, body, status=409)).json()
    assert refused["code"] == "secrets_off"
