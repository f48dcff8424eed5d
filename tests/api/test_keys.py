"""Merchants and keys: made, limited, ended, and shown only once."""

import base64
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.api.conftest import ADMIN_KEY

pytestmark = pytest.mark.anyio

ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}


async def test_a_merchant_is_opened_with_its_first_key_and_a_simulator(client, rt) -> None:
    made = await client.post("/v1/merchants", json={"name": "Shop"}, headers=ADMIN)
    assert made.status_code == 201
    secret = made.json()["secret_key"]
    assert secret.startswith("sk_test_")
    key = {"Authorization": f"Bearer {secret}"}
    accounts = (await client.get("/v1/gateway_accounts", headers=key)).json()["data"]
    assert [(a["gateway"], a["is_default"]) for a in accounts] == [("simulator", True)]
    listed = (await client.get("/v1/merchants", headers=ADMIN)).json()["data"]
    assert [(m["name"], m["secret_key"]) for m in listed] == [("Shop", None)]
    live = {"name": "Real", "mode": "live"}
    made = (await client.post("/v1/merchants", json=live, headers=ADMIN)).json()
    key = {"Authorization": f"Bearer {made['secret_key']}"}
    assert made["secret_key"].startswith("sk_live_")
    assert (await client.get("/v1/gateway_accounts", headers=key)).json()["data"] == []


async def test_a_merchant_is_opened_once_for_an_idempotency_key(client, rt) -> None:
    headers = ADMIN | {"Idempotency-Key": "one"}
    first = await client.post("/v1/merchants", json={"name": "Shop"}, headers=headers)
    again = await client.post("/v1/merchants", json={"name": "Shop"}, headers=headers)
    assert again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json() | {"secret_key": None}
    other = await client.post("/v1/merchants", json={"name": "Else"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_the_merchants_api_is_for_the_admin_key_alone(api) -> None:
    await api.get("/v1/merchants", 401)
    await api.post("/v1/merchants", {"name": "Mine"}, status=401)
    wrong = {"Authorization": f"Bearer {ADMIN_KEY}x"}
    assert (await api.client.get("/v1/merchants", headers=wrong)).status_code == 401
    assert (await api.client.get("/v1/customers", headers=ADMIN)).status_code == 401


async def test_a_key_also_works_as_the_user_of_basic_authentication(api) -> None:
    basic = base64.b64encode(f"{api.key}:".encode()).decode()
    answer = await api.client.get("/v1/customers", headers={"Authorization": f"Basic {basic}"})
    assert answer.status_code == 200


async def test_a_secret_is_shown_once_and_stored_nowhere(api, administrator) -> None:
    made = (await api.post("/v1/api_keys", {"name": "CI"}, headers={"Idempotency-Key": "k"})).json()
    again = await api.post("/v1/api_keys", {"name": "CI"}, headers={"Idempotency-Key": "k"})
    assert again.json() == made | {"secret": None}
    assert again.headers["idempotent-replayed"] == "true"
    assert (await api.get(f"/v1/api_keys/{made['id']}")).json()["secret"] is None
    token = made["secret"].removeprefix("sk_test_")
    for table in ("api_keys", "idempotency_keys", "events", "audit_log"):
        found = await administrator.fetchval(
            f"SELECT count(*) FROM {table} t WHERE strpos(t::text, $1) > 0"
            f" OR strpos(t::text, encode($1::bytea, 'hex')) > 0",
            token,
        )
        assert found == 0, table


async def test_a_key_does_only_what_its_scopes_say(api) -> None:
    made = (await api.post("/v1/api_keys", {"scopes": ["customers:read"]})).json()
    reader = {"Authorization": f"Bearer {made['secret']}"}
    assert (await api.client.get("/v1/customers", headers=reader)).status_code == 200
    refused = await api.client.post("/v1/customers", json={}, headers=reader)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert (await api.client.get("/v1/plans", headers=reader)).status_code == 403
    writer = (await api.post("/v1/api_keys", {"scopes": ["customers:write"]})).json()["secret"]
    headers = {"Authorization": f"Bearer {writer}"}
    assert (await api.client.get("/v1/customers", headers=headers)).status_code == 200


async def test_a_key_cannot_make_a_stronger_one(api) -> None:
    scopes = ["api_keys:write", "customers:read"]
    weak = (await api.post("/v1/api_keys", {"scopes": scopes})).json()["secret"]
    headers = {"Authorization": f"Bearer {weak}"}
    for stronger in ([], ["write"], ["read"], ["customers:write"]):
        refused = await api.client.post("/v1/api_keys", json={"scopes": stronger}, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (422, "scope_exceeded"), stronger
    same = await api.client.post(
        "/v1/api_keys", json={"scopes": ["customers:read"]}, headers=headers
    )
    assert same.status_code == 201


async def test_a_publishable_key_reads_the_public_catalogue_and_no_more(api) -> None:
    made = (await api.post("/v1/api_keys", {"kind": "publishable"})).json()
    assert made["secret"].startswith("pk_test_")
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert (await api.client.get("/v1/catalog", headers=headers)).status_code == 200
    for method, path in (("GET", "/v1/customers"), ("POST", "/v1/plans"), ("GET", "/v1/prices")):
        refused = await api.client.request(method, path, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "secret_key_required")


async def test_a_revoked_key_stops_at_once_in_the_process_that_revoked_it(api) -> None:
    made = (await api.post("/v1/api_keys", {})).json()
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert (await api.client.get("/v1/customers", headers=headers)).status_code == 200
    gone = (await api.post(f"/v1/api_keys/{made['id']}/revoke", status=200)).json()
    assert gone["revoked_at"] is not None
    assert (await api.client.get("/v1/customers", headers=headers)).status_code == 401


async def test_a_key_ends_when_it_says_also_while_it_is_remembered(api, rt) -> None:
    end = (rt.clock.now() + timedelta(minutes=5)).isoformat()
    made = (await api.post("/v1/api_keys", {"expires_at": end})).json()
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert (await api.client.get("/v1/customers", headers=headers)).status_code == 200
    rt.clock.advance(timedelta(minutes=5))
    assert (await api.client.get("/v1/customers", headers=headers)).status_code == 401
    refused = await api.post("/v1/api_keys", {"expires_at": end}, status=422)
    assert refused.json()["param"] == "expires_at"


async def test_use_is_noted_at_most_once_a_minute(api, rt, app, administrator) -> None:
    used = "SELECT last_used_at FROM api_keys"
    await api.get("/v1/customers")
    first = await administrator.fetchval(used)
    for seconds, noted in ((30, first), (31, first + timedelta(seconds=61))):
        rt.clock.advance(timedelta(seconds=seconds))
        app.state.keys = type(app.state.keys)()  # another process, that remembers nothing
        await api.get("/v1/customers")
        assert await administrator.fetchval(used) == noted


def perennial(database_url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *words],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_command_line_makes_merchants_and_keys(client, rt, database_url) -> None:
    opened = perennial(database_url, "keys", "create", "--new-merchant", "Shop")
    assert opened.returncode == 0, opened.stderr
    key = {"Authorization": f"Bearer {opened.stdout.strip()}"}
    assert (await client.get("/v1/customers", headers=key)).status_code == 200
    merchant = opened.stderr.split()[-1].rstrip(".")
    scoped = ("--merchant", merchant, "--scope", "plans:read", "--name", "page")
    made = perennial(database_url, "keys", "create", *scoped)
    weak = {"Authorization": f"Bearer {made.stdout.strip()}"}
    assert (await client.get("/v1/plans", headers=weak)).status_code == 200
    assert (await client.get("/v1/customers", headers=weak)).status_code == 403
    public = perennial(database_url, "keys", "create", "--merchant", merchant, "--publishable")
    assert public.stdout.startswith("pk_test_")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--merchant", "mer_x"),
        ("--merchant", "mer_01k9zs8m4vf1xr7c2n5q0d3tyb"),
        ("--new-merchant", "Shop", "--currency", "XXX"),
        ("--new-merchant", "Shop", "--scope", "everything"),
    ],
)
async def test_the_command_line_says_what_is_wrong(rt, database_url, words) -> None:
    refused = perennial(database_url, "keys", "create", *words)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "Traceback" not in refused.stderr


async def test_making_and_revoking_keys_is_audited(api, administrator) -> None:
    made = (await api.post("/v1/api_keys", {})).json()
    await api.post(f"/v1/api_keys/{made['id']}/revoke", status=200)
    deeds = await administrator.fetch("SELECT action, actor FROM audit_log ORDER BY id")
    assert [deed["action"] for deed in deeds] == [
        "api_key.created",
        "merchant.created",
        "api_key.created",
        "api_key.revoked",
    ]
    assert deeds[-1]["actor"].startswith("key_")


async def test_a_key_that_ends_cannot_make_one_that_outlives_it(api, rt) -> None:
    end = rt.clock.now() + timedelta(hours=1)
    brief = (await api.post("/v1/api_keys", {"expires_at": end.isoformat()})).json()["secret"]
    headers = {"Authorization": f"Bearer {brief}"}
    for later in ({}, {"expires_at": (end + timedelta(seconds=1)).isoformat()}):
        refused = await api.client.post("/v1/api_keys", json=later, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (422, "expiry_exceeded"), later
        assert refused.json()["param"] == "expires_at"
    for until in (end, end - timedelta(minutes=1)):
        body = {"expires_at": until.isoformat()}
        assert (await api.client.post("/v1/api_keys", json=body, headers=headers)).is_success


async def test_a_key_expands_only_what_it_may_read(api) -> None:
    customer = await api.new("customers", name="Ada", email="ada@example.com")
    made = await api.new("setup_sessions", customer_id=customer["id"])
    for scopes, status in ((["setup_sessions:read"], 403), (["read"], 200)):
        key = await api.new("api_keys", scopes=scopes)
        headers = {"Authorization": f"Bearer {key['secret']}"}
        for path in (f"/v1/setup_sessions/{made['id']}", "/v1/setup_sessions"):
            assert (await api.client.get(path, headers=headers)).status_code == 200
            query = {"expand": "customer"}
            found = await api.client.get(path, params=query, headers=headers)
            assert found.status_code == status, (scopes, path)
            if status == 403:
                assert found.json()["code"] == "insufficient_scope"
                assert "customers:read" in found.json()["detail"]
    both = await api.new("api_keys", scopes=["setup_sessions:read", "customers:read"])
    headers = {"Authorization": f"Bearer {both['secret']}"}
    path = f"/v1/setup_sessions/{made['id']}?expand=customer"
    found = (await api.client.get(path, headers=headers)).json()
    assert found["customer"]["email"] == "ada@example.com"
