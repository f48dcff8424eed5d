"""The address gateways deliver to: proved first, stored once, answered when it is committed."""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from app.ids import new_id, parse, show
from app.services.inbox import BODY_BYTES_MAX, CACHED_SECONDS
from tests.api.conftest import Api
from tests.gateway_events import OTHER, SECRET, event, headers
from tests.gateways.test_registry import install

pytestmark = pytest.mark.anyio

CHARGE = {"object": "charge", "id": "ch_1", "reference": "ref-1"}
PAN = "4242 4242 4242 4242"
PLUGIN = """
from app.gateways.base import WebhookUnverifiable
from app.gateways.simulator import SIMULATOR, SimulatorGateway

class Gateway(SimulatorGateway):
    name = "{name}"
    async def verify_webhook(self, delivery):
        raise {error}

class Factory:
    name = "{name}"
    capabilities = SIMULATOR.capabilities
    fields = SIMULATOR.fields
    def __call__(self, account):
        return Gateway(account)

FACTORY = Factory()
"""


@dataclass
class Door:
    """An account's address, and what it takes to be believed there."""

    api: Api
    rt: object
    path: str
    account: str

    async def bring(self, told: dict, status: int = 200, secret: str = SECRET, **changes):
        body = changes.pop("body", json.dumps(told).encode())
        signed = changes.pop("signed", body)
        at = changes.pop("at", self.rt.clock.now())
        given = headers(signed, told["id"], at, secret) | changes.pop("headers", {})
        path = changes.pop("path", self.path)
        answer = await self.api.client.post(path, content=body, headers=given)
        assert answer.status_code == status, answer.text
        return answer


@pytest.fixture
async def door(api, rt) -> Door:
    return await opened(api, rt)


async def opened(api: Api, rt, gateway: str = "simulator", secret: str | None = SECRET) -> Door:
    body = {"gateway": gateway} | ({"webhook_secret": secret} if secret else {})
    account = await api.new("gateway_accounts", **body)
    path = "/v1/gateways/" + account["webhook_url"].partition("/v1/gateways/")[2]
    return Door(api, rt, path, account["id"])


async def stored(administrator) -> list:
    return await administrator.fetch("SELECT * FROM inbound_events ORDER BY id")


async def test_a_proved_delivery_is_stored_once_however_often_it_comes(door, administrator) -> None:
    told = event("charge.succeeded", CHARGE)
    for _ in range(3):
        answer = await door.bring(told)
        assert answer.json() == {"object": "webhook_receipt", "received": True}
    [row] = await stored(administrator)
    assert (row["gateway_event_id"], row["type"]) == (told["id"], "charge.succeeded")
    assert (row["kind"], row["status"]) == ("payment", "received")
    assert (row["reference"], row["our_reference"]) == ("ch_1", "ref-1")
    assert json.loads(row["body"]) == told
    assert row["gateway_account_id"] == parse("gwa", door.account)


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": OTHER},
        {"body": b"{}"},
        {"body": b""},
        {"signed": b"something else"},
        {"headers": {"webhook-signature": "v1,AAAA"}},
        {"headers": {"webhook-signature": ""}},
        {"headers": {"webhook-id": "evt_another"}},
        {"headers": {"webhook-timestamp": "1"}},
    ],
    ids=lambda changes: str(next(iter(changes.items())))[:60],
)
async def test_what_is_forged_or_changed_is_refused_and_leaves_nothing(
    door, administrator, changes
) -> None:
    told = event("charge.succeeded", CHARGE)
    answer = await door.bring(told, 400, **changes)
    assert answer.json()["code"] == "webhook_refused"
    assert await stored(administrator) == []


async def test_truncated_replayed_and_foreign_deliveries_are_refused(
    door, rt, api, other, administrator
) -> None:
    told = event("charge.succeeded", CHARGE)
    whole = json.dumps(told).encode()
    await door.bring(told, 400, body=whole[:-1], signed=whole)
    await door.bring(told, 400, at=rt.clock.now() - timedelta(minutes=6))  # a recording
    await door.bring(event("charge.succeeded", CHARGE, account="acct_else"), 400)
    await door.bring(event("charge.succeeded", CHARGE, livemode=True), 400)
    neighbour = await opened(other, rt, secret=OTHER)
    await door.bring(told, 400, path=neighbour.path)
    await door.bring(told, 404, path=door.path.replace("/simulator/", "/stripe/"))
    unknown = show("gwa", new_id())
    await door.bring(told, 404, path=f"/v1/gateways/simulator/{unknown}/webhooks")
    await door.bring(told, 404, path="/v1/gateways/simulator/gwa_nonsense/webhooks")
    assert await stored(administrator) == []


async def test_without_a_secret_nothing_is_believed(api, rt, administrator) -> None:
    door = await opened(api, rt, secret=None)
    await door.bring(event("charge.succeeded", CHARGE), 400)
    empty = "whsec_"
    await door.bring(event("charge.succeeded", CHARGE), 400, secret=empty)
    assert await stored(administrator) == []


async def test_a_new_secret_counts_at_once_and_the_old_one_until_its_end(door, rt, api) -> None:
    await door.bring(event("charge.succeeded", CHARGE))
    path = f"/v1/gateway_accounts/{door.account}/webhook_secret"
    body = {"secret": OTHER, "previous_hours": 2}
    await api.call("PUT", path, json=body, status=200)
    await door.bring(event("charge.succeeded", CHARGE), secret=OTHER)
    await door.bring(event("charge.succeeded", CHARGE), secret=SECRET)
    assert CACHED_SECONDS > 1, "the account was known from before"
    rt.clock.at += timedelta(hours=2)
    await door.bring(event("charge.succeeded", CHARGE), 400, secret=SECRET)
    await door.bring(event("charge.succeeded", CHARGE), secret=OTHER)


async def test_what_cannot_be_proved_just_now_is_to_come_again(
    api, rt, administrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "perennial_waits", "waits = perennial_waits:FACTORY")
    (tmp_path / "perennial_waits.py").write_text(
        PLUGIN.format(name="waits", error="WebhookUnverifiable('no certificate')")
    )
    install(tmp_path, "perennial_breaks", "breaks = perennial_breaks:FACTORY")
    (tmp_path / "perennial_breaks.py").write_text(PLUGIN.format(name="breaks", error="KeyError(1)"))
    monkeypatch.syspath_prepend(tmp_path)
    for gateway in ("waits", "breaks"):
        door = await opened(api, rt, gateway)
        answer = await door.bring(event("charge.succeeded", CHARGE), 503)
        assert answer.headers["retry-after"] == "1"
    assert await stored(administrator) == []


async def test_a_delivery_is_bounded(door, administrator) -> None:
    told = event("charge.succeeded", CHARGE | {"note": "x" * BODY_BYTES_MAX})
    assert (await door.bring(told, 413)).json()["code"] == "body_too_large"
    assert await stored(administrator) == []


async def test_no_card_number_and_no_secret_is_kept_of_a_delivery(door, administrator) -> None:
    told = event(
        "charge.succeeded",
        CHARGE | {"note": f"card {PAN}", "client_secret": "pi_1_secret_2", "number": PAN},
    )
    await door.bring(told, headers={"authorization": "Basic c2VjcmV0", "x-card": PAN})
    [row] = await stored(administrator)
    everything = str(dict(row))
    for canary in (PAN, "pi_1_secret_2", "c2VjcmV0", SECRET, "v1,"):
        assert canary not in everything
    assert json.loads(row["body"])["data"]["reference"] == "ref-1"


async def test_a_disabled_account_still_hears(door, api) -> None:
    await api.post(f"/v1/gateway_accounts/{door.account}/disable", status=200)
    await door.bring(event("charge.succeeded", CHARGE))


async def test_events_are_listed_without_what_they_held_and_settled_again_on_request(
    door, api, other, administrator
) -> None:
    await door.bring(event("charge.succeeded", CHARGE))
    await door.bring(event("balance.moved", {"object": "balance", "id": "b_1"}))
    path = f"/v1/gateway_accounts/{door.account}/inbound_events"
    listed = (await api.get(path)).json()["data"]
    assert [(e["type"], e["status"], e["reason"]) for e in listed] == [
        ("balance.moved", "ignored", "not_acted_upon"),
        ("charge.succeeded", "received", None),
    ]
    assert not {"body", "headers"} & listed[0].keys()
    found = (await api.get(path, params={"status": "ignored"})).json()["data"]
    assert [e["type"] for e in found] == ["balance.moved"]
    [_, waiting] = listed
    again = (await api.post(f"{path}/{waiting['id']}/retry", status=200)).json()
    assert again["status"] == "received"
    ignored = f"{path}/{listed[0]['id']}/retry"
    assert (await api.post(ignored, status=200)).json()["status"] == "received"
    deeds = await administrator.fetch("SELECT * FROM audit_log WHERE action LIKE 'inbound%'")
    assert len(deeds) == 1
    await other.get(path, 404)
    await other.post(ignored, status=404)
