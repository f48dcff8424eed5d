"""Gateway accounts over HTTP: opened with secrets that nobody sees again, in the right mode."""

from pathlib import Path

import orjson
import pytest
from pydantic import SecretStr

from app.bell import Silent
from app.clock import ManualClock
from app.gateways.base import AccountMode
from app.ids import parse
from app.main import create_app
from app.runtime import open_runtime
from app.services import merchants, opening
from app.services.merchants import CreateMerchant
from app.settings import Settings
from tests.api.conftest import NOW, Api
from tests.gateways.test_registry import install

pytestmark = pytest.mark.anyio

ACCOUNTS = "/v1/gateway_accounts"
SECRET = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PLUGIN = """
from app.gateways.base import CredentialField
from app.gateways.simulator import SimulatorGateway
from dataclasses import replace

class FifthGateway(SimulatorGateway):
    name = "fifth"
    capabilities = replace(SimulatorGateway.capabilities, moves_real_money=True)
    fields = (
        CredentialField(
            "secret_key", "The secret key.", test_prefixes=("sk_test_",),
            live_prefixes=("sk_live_",), pattern=r"sk_(test|live)_[A-Za-z0-9]{8,99}",
        ),
        CredentialField("client_id", "The client.", is_secret=False, is_required=False),
        CredentialField("pin", "A short secret.", is_required=False),
    )
"""


@pytest.fixture
def fifth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway from an installed package, with credentials of every kind."""
    install(tmp_path, "perennial_wants", "fifth = perennial_wants:FifthGateway")
    (tmp_path / "perennial_wants.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)


async def opened(api: Api, **changes) -> dict:
    credentials = {"secret_key": SECRET, "client_id": "client-1"}
    body = {"gateway": "fifth", "credentials": credentials} | changes
    return await api.new("gateway_accounts", **body)


async def stored(administrator, account: dict) -> dict:
    row = await administrator.fetchrow(
        "SELECT *, id AS gateway_account_id FROM gateway_accounts WHERE id = $1",
        parse("gwa", account["id"]),
    )
    return dict(row)


async def test_an_account_shows_names_and_last_digits_and_never_a_secret(
    api, fifth, administrator, rt
) -> None:
    made = await opened(api, name="Cards", webhook_secret=WHSEC)
    at = made["created_at"]
    assert made["credentials"] == [
        {
            "name": "secret_key",
            "value": None,
            "last_four": "p7dc",
            "updated_at": at,
        },
        {
            "name": "client_id",
            "value": "client-1",
            "last_four": None,
            "updated_at": at,
        },
    ]
    assert (made["mode"], made["is_default"], made["version"]) == ("test", False, 1)
    assert made["webhook_url"].endswith(f"/v1/gateways/fifth/{made['id']}/webhooks")
    assert made["webhook_secret_updated_at"] == made["created_at"]
    listed = (await api.get(ACCOUNTS, params={"gateway": "fifth"})).json()["data"]
    assert listed == [made]
    row = await stored(administrator, made)
    everything = "".join(map(str, row.values())) + str(made)
    assert SECRET not in everything
    assert WHSEC not in everything
    settings = opening.settings_of(rt, row, has_previous=False)
    assert settings.mode is AccountMode.TEST
    assert settings.credentials == {"secret_key": SecretStr(SECRET)}
    assert settings.options == {"client_id": "client-1"}
    assert settings.webhook_secrets == (SecretStr(WHSEC),)


async def test_short_secrets_show_nothing_at_all(api, fifth) -> None:
    made = await opened(api, credentials={"secret_key": SECRET, "pin": "1234567890123456789"})
    [_, pin] = made["credentials"]
    assert (pin["name"], pin["value"], pin["last_four"]) == ("pin", None, None)


@pytest.mark.parametrize(
    ("credentials", "param", "says"),
    [
        ({}, "credentials.secret_key", "missing"),
        ({"secret_key": "sk_live_4eC39HqLyjWD"}, "credentials.secret_key", "of live mode"),
        ({"secret_key": "rk_test_4eC39HqLyjWD"}, "credentials.secret_key", "not look like one"),
        ({"secret_key": SECRET, "url": "http://x"}, "credentials.url", "The gateway takes"),
    ],
)
async def test_credentials_that_cannot_be_right_are_refused_without_being_repeated(
    api, fifth, credentials, param, says
) -> None:
    body = {"gateway": "fifth", "credentials": credentials}
    answer = await api.post(ACCOUNTS, body, 422)
    assert answer.json()["code"] == "invalid_credentials"
    assert answer.json()["param"] == param
    assert says in answer.json()["detail"]
    for value in credentials.values():
        assert value not in answer.text


async def test_an_unknown_gateway_and_another_mode_are_refused(api, fifth) -> None:
    unknown = await api.post(ACCOUNTS, {"gateway": "strype"}, 422)
    assert (unknown.json()["code"], unknown.json()["param"]) == ("unknown_gateway", "gateway")
    body = {"gateway": "fifth", "mode": "live", "credentials": {"secret_key": SECRET}}
    live = await api.post(ACCOUNTS, body, 422)
    assert (live.json()["code"], live.json()["param"]) == ("mode_mismatch", "mode")
    body["credentials"] = {"a": SECRET * 200}
    malformed = await api.post(ACCOUNTS, body, 422)
    assert SECRET not in malformed.text


async def test_a_live_merchant_cannot_use_a_gateway_that_only_pretends(rt, client, fifth) -> None:
    made = await merchants.create(rt, CreateMerchant("Real", mode="live"), actor="test")
    live = Api(client, str(made.merchant["id"]), made.secret)
    answer = await live.post(ACCOUNTS, {"gateway": "simulator"}, 422)
    assert answer.json()["code"] == "gateway_is_for_tests"
    names = [each["name"] for each in (await live.get("/v1/gateways")).json()["data"]]
    assert "simulator" not in names
    assert "fifth" in names
    key = "sk_live_" + SECRET.removeprefix("sk_test_")
    first = await opened(live, credentials={"secret_key": key})
    assert (first["mode"], first["is_default"]) == ("live", True)
    wrong = {"gateway": "fifth", "credentials": {"secret_key": SECRET}}
    assert "of test mode" in (await live.post(ACCOUNTS, wrong, 422)).json()["detail"]


async def test_a_merchant_has_several_accounts_and_one_default(api, fifth) -> None:
    [simulator] = (await api.get(ACCOUNTS)).json()["data"]
    one = await opened(api)
    two = await opened(api, make_default=True, name="Second")
    assert await defaults(api) == [two["id"]]
    made = (await api.post(f"{ACCOUNTS}/{one['id']}/make_default", status=200)).json()
    assert made["is_default"]
    assert await defaults(api) == [one["id"]]
    again = (await api.post(f"{ACCOUNTS}/{one['id']}/make_default", status=200)).json()
    assert again == made
    off = (await api.post(f"{ACCOUNTS}/{one['id']}/disable", status=200)).json()
    assert off["disabled_at"] is not None
    assert await defaults(api) == []
    await api.post(f"{ACCOUNTS}/{one['id']}/make_default", status=409)
    on = (await api.post(f"{ACCOUNTS}/{one['id']}/enable", status=200)).json()
    assert (on["disabled_at"], on["is_default"]) == (None, True)
    assert simulator["id"] not in await defaults(api)


async def defaults(api: Api) -> list[str]:
    found = (await api.get(ACCOUNTS, params={"is_default": "true"})).json()["data"]
    return [account["id"] for account in found]


async def test_credentials_change_one_by_one_and_only_from_the_version_seen(
    api, fifth, administrator, rt
) -> None:
    made = await opened(api)
    path, other = f"{ACCOUNTS}/{made['id']}", "sk_test_another00000000000001"
    rt.clock.at = NOW.replace(hour=20)
    body = {"name": "Renamed", "credentials": {"secret_key": other, "client_id": None}}
    changed = (await api.patch(path, body, headers={"If-Match": '"1"'})).json()
    assert (changed["name"], changed["version"]) == ("Renamed", 2)
    [hint] = changed["credentials"]
    assert (hint["name"], hint["last_four"]) == ("secret_key", "0001")
    assert hint["updated_at"] > made["created_at"]
    await api.patch(path, body, 412, headers={"If-Match": '"1"'})
    settings = opening.settings_of(rt, await stored(administrator, made), has_previous=False)
    assert settings.credentials == {"secret_key": SecretStr(other)}
    assert settings.options == {}
    gone = await api.patch(path, {"credentials": {"secret_key": None}}, 422)
    assert gone.json()["param"] == "credentials.secret_key"
    added = (await api.patch(path, {"credentials": {"client_id": "c2"}})).json()
    assert [h["name"] for h in added["credentials"]] == ["secret_key", "client_id"]
    assert added["credentials"][0] == hint


async def test_the_webhook_secret_changes_and_the_one_before_counts_for_a_while(
    api, fifth, administrator, rt
) -> None:
    made = await opened(api, webhook_secret="the first secret")
    path = f"{ACCOUNTS}/{made['id']}/webhook_secret"
    body = {"secret": "the second secret", "previous_hours": 24}
    changed = (await api.call("PUT", path, json=body, status=200)).json()
    assert changed["previous_webhook_secret_expires_at"] == "2030-02-01T12:00:00Z"
    row = await stored(administrator, made)
    settings = opening.settings_of(rt, row, has_previous=True)
    assert [s.get_secret_value() for s in settings.webhook_secrets] == [
        "the second secret",
        "the first secret",
    ]
    assert opening.open_account(rt, row) is opening.open_account(rt, row)
    before = opening.open_account(rt, row)
    rt.clock.at = NOW.replace(month=2, day=1)
    assert opening.open_account(rt, row) is not before, "the previous secret counts no more"
    at_once = {"secret": "the third secret", "previous_hours": 0}
    last = (await api.call("PUT", path, json=at_once, status=200)).json()
    assert last["previous_webhook_secret_expires_at"] is None


async def test_every_change_leaves_an_audit_row_without_a_secret(api, fifth, administrator) -> None:
    made = await opened(api, webhook_secret=WHSEC)
    path = f"{ACCOUNTS}/{made['id']}"
    await api.patch(path, {"credentials": {"secret_key": SECRET}})
    await api.call("PUT", f"{path}/webhook_secret", json={"secret": WHSEC}, status=200)
    for verb in ("make_default", "disable", "enable"):
        await api.post(f"{path}/{verb}", status=200)
    rows = await administrator.fetch(
        "SELECT action, detail::text, actor FROM audit_log WHERE object_id = $1 ORDER BY id",
        parse("gwa", made["id"]),
    )
    assert [row["action"].partition(".")[2] for row in rows] == [
        "created",
        "updated",
        "webhook_secret_set",
        "made_default",
        "disabled",
        "enabled",
    ]
    assert all(row["actor"].startswith("key_") for row in rows)
    assert SECRET not in str(rows)
    assert orjson.loads(rows[1]["detail"])["credentials"] == ["secret_key"]


async def test_credentials_are_checked_at_the_gateway(api, simulator, administrator) -> None:
    [account] = (await api.get(ACCOUNTS)).json()["data"]
    await administrator.execute(
        "UPDATE gateway_accounts SET settings = json_build_object('base_url', $1::text)",
        simulator.url,
    )
    path = f"{ACCOUNTS}/{account['id']}"
    said = (await api.post(f"{path}/check", status=200)).json()
    assert (said["result"], said["gateway_account_id"]) == ("valid", account["id"])
    await api.patch(path, {"credentials": {"secret_key": "sk_sim_wrong"}})
    assert (await api.get(path)).json()["check_result"] is None
    said = (await api.post(f"{path}/check", status=200)).json()
    assert said["result"] == "refused"
    seen = (await api.get(path)).json()
    assert (seen["check_result"], seen["checked_at"]) == ("refused", "2030-01-31T12:00:00Z")


async def test_the_same_key_and_request_open_one_account_and_keep_no_secret(
    api, fifth, administrator
) -> None:
    body = {"gateway": "fifth", "credentials": {"secret_key": SECRET}, "webhook_secret": WHSEC}
    key = {"Idempotency-Key": "open-it"}
    first = (await api.post(ACCOUNTS, body, headers=key)).json()
    assert (await api.post(ACCOUNTS, body, headers=key)).json() == first
    rows = await administrator.fetch("SELECT * FROM idempotency_keys")
    assert SECRET not in str([dict(row) for row in rows])


async def test_a_deployment_without_keys_keeps_no_secret_and_says_so(
    clean_database: str, fifth
) -> None:
    import httpx

    settings = Settings(database_url=SecretStr(clean_database), pool_size=4)
    async with open_runtime(settings, clock=ManualClock(NOW), bell=Silent()) as rt:
        transport = httpx.ASGITransport(create_app(rt))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            made = await merchants.create(rt, CreateMerchant("First"), actor="test")
            api = Api(client, str(made.merchant["id"]), made.secret)
            body = {"gateway": "fifth", "credentials": {"secret_key": SECRET}}
            answer = await api.post(ACCOUNTS, body, 409)
            assert answer.json()["code"] == "secrets_off"
            assert "PERENNIAL_SECRET_KEYS" in answer.json()["detail"]
            await api.new("gateway_accounts", gateway="simulator")  # nothing secret in it


async def test_gateways_are_listed_with_what_an_account_needs(api, fifth) -> None:
    data = (await api.get("/v1/gateways")).json()["data"]
    found = {each["name"]: each for each in data}
    assert [field["name"] for field in found["fifth"]["fields"]] == [
        "secret_key",
        "client_id",
        "pin",
    ]
    assert found["fifth"]["fields"][0]["test_prefixes"] == ["sk_test_"]
    assert found["simulator"]["capabilities"]["moves_real_money"] is False
    assert found["simulator"]["capabilities"]["setup_flow"] == "client_secret"


async def test_scopes_bind(api, fifth) -> None:
    reading = await api.new("api_keys", scopes=["gateway_accounts:read"])
    reader = Api(api.client, api.merchant, reading["secret"])
    await reader.get(ACCOUNTS)
    body = {"gateway": "fifth", "credentials": {"secret_key": SECRET}}
    assert (await reader.post(ACCOUNTS, body, 403)).json()["code"] == "insufficient_scope"
    await reader.get("/v1/gateways", 403)
