"""Set-up sessions over HTTP: the merchant's backend begins, the shop's page goes on."""

import pytest

from app.clock import SystemClock
from app.ids import parse
from tests.api.conftest import Api

pytestmark = pytest.mark.anyio

SESSIONS = "/v1/setup_sessions"


@pytest.fixture
async def here(administrator, simulator, api, rt) -> None:
    """The merchant's account speaks to this simulator, whose set-ups end by the real clock."""
    rt.clock.at = SystemClock().now()
    simulator.clear_faults()
    await administrator.execute(
        "UPDATE gateway_accounts SET settings = json_build_object('base_url', $1::text)",
        simulator.url,
    )


async def page_of(api: Api) -> Api:
    """The shop's page: a publishable key of the merchant's."""
    key = await api.new("api_keys", kind="publishable")
    return Api(api.client, api.merchant, key["secret"])


async def begun(api: Api, **options) -> dict:
    customer = await api.new("customers", name="Ada", email="ada@example.com")
    return await api.new("setup_sessions", customer_id=customer["id"], **options)


def confirm(simulator, administrator_row, secret: str) -> None:
    reference = administrator_row["gateway_reference"]
    simulator.request("POST", f"/setups/{reference}/confirm", json={"client_secret": secret})


async def stored(administrator, session: dict) -> dict:
    return dict(
        await administrator.fetchrow(
            "SELECT * FROM setup_sessions WHERE id = $1", parse("setup", session["id"])
        )
    )


async def test_the_page_enters_a_method_with_no_key_but_the_publishable_one(
    here, api, simulator, administrator
) -> None:
    made = await begun(api, make_default=True, metadata={"a": "b"})
    assert (made["status"], made["flow"]) == ("open", "client_secret")
    assert made["client_token"].startswith("ct_")
    page, path = await page_of(api), f"{SESSIONS}/{made['id']}"
    token = {"client_token": made["client_token"]}
    handed = await page.post(f"{path}/open", token, 200)
    assert handed.json()["client_secret"] == made["client_secret"]
    assert handed.headers["access-control-allow-origin"] == "*"
    waiting = (await page.post(f"{path}/complete", token, 200)).json()
    assert waiting == {
        "object": "setup_session_result",
        "setup_session_id": made["id"],
        "status": "open",
        "failure_code": None,
        "payment_method_id": None,
    }
    confirm(simulator, await stored(administrator, made), made["client_secret"])
    done = (await page.post(f"{path}/complete", token | {"parameters": {}}, 200)).json()
    assert done["status"] == "completed"
    session = (await api.get(path, params={"expand": "customer,payment_method"})).json()
    assert session["payment_method_id"] == done["payment_method_id"]
    assert session["payment_method"]["last_four"] == "4242"
    assert session["customer"]["default_payment_method_id"] == done["payment_method_id"]
    assert session["metadata"] == {"a": "b"}
    after = (await page.post(f"{path}/open", token, 200)).json()
    assert (after["status"], after["client_secret"]) == ("completed", None)


async def test_a_page_can_do_nothing_else_and_nothing_without_the_token(here, api) -> None:
    made, other = await begun(api), await begun(api)
    page, path = await page_of(api), f"{SESSIONS}/{made['id']}"
    for verb in ("open", "complete"):
        await page.post(f"{path}/{verb}", {}, 404)
        await page.post(f"{path}/{verb}", {"client_token": other["client_token"]}, 404)
        assert (await page.post(f"{path}/{verb}", {"client_token": "x"}, 422)).json()["param"]
    await page.get(path, 403)
    await page.get(SESSIONS, 403)
    await page.post(SESSIONS, {"customer_id": made["customer_id"]}, 403)
    await page.post(f"/v1/payment_methods/{made['id']}/detach", {}, 403)


async def test_browsers_may_ask_first(client) -> None:
    path = f"{SESSIONS}/setup_01k9zs8m4vf1xr7c2n5q0d3tyb"
    for verb in ("open", "complete"):
        answer = await client.options(f"{path}/{verb}", headers={"Origin": "https://shop.example"})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "Content-Type" in answer.headers["access-control-allow-headers"]


async def test_what_is_read_or_repeated_holds_no_secret(here, api, administrator) -> None:
    customer = await api.new("customers", name="Ada")
    body, key = {"customer_id": customer["id"]}, {"Idempotency-Key": "one"}
    made = (await api.post(SESSIONS, body, headers=key)).json()
    again = (await api.post(SESSIONS, body, headers=key)).json()
    assert again["id"] == made["id"]
    listed = (await api.get(SESSIONS, params={"status": "open"})).json()["data"]
    shown = str([again, listed, (await api.get(f"{SESSIONS}/{made['id']}")).json()])
    rows = str(await administrator.fetch("SELECT * FROM idempotency_keys"))
    rows += str(await stored(administrator, made))
    rows += str(await administrator.fetch("SELECT * FROM events"))
    for secret in (made["client_secret"], made["client_token"]):
        assert secret not in shown + rows
    handed = (await api.post(f"{SESSIONS}/{made['id']}/open", status=200)).json()
    assert handed["client_secret"] == made["client_secret"]


async def test_a_session_that_cannot_begin_yet_says_so(here, api, simulator) -> None:
    simulator.set_fault("error_500_before", operations=["setup"])
    made = await begun(api)
    assert (made["status"], made["client_secret"], made["parameters"]) == ("starting", None, {})
    answer = await api.post(f"{SESSIONS}/{made['id']}/complete", status=409)
    assert answer.json()["code"] == "setup_session_starting"
    simulator.clear_faults()


async def test_nonsense_is_refused(here, api) -> None:
    customer = await api.new("customers", name="Ada")
    for body, param in (
        ({}, "customer_id"),
        ({"customer_id": customer["id"], "return_url": "javascript:alert(1)"}, "return_url"),
        ({"customer_id": customer["id"], "amount_max": 0}, "amount_max"),
        ({"customer_id": customer["id"], "phone": "call me"}, "phone"),
        ({"customer_id": customer["id"], "metadata": {"a": "4242 4242 4242 4242"}}, "metadata.a"),
    ):
        assert (await api.post(SESSIONS, body, 422)).json()["param"] == param
    made = await begun(api)
    card = {"parameters": {"number": "4242424242424242"}}
    refused = await api.post(f"{SESSIONS}/{made['id']}/complete", card, 422)
    assert refused.json()["code"] == "card_number_refused"
