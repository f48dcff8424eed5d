"""Idempotency keys: a request sent again is answered again and done once, come what may."""

import asyncio
import os
import signal
import subprocess
import sys

import httpx
import pytest

from app.api import replay
from app.services import idempotency

pytestmark = pytest.mark.anyio

KEY = {"Idempotency-Key": "order-4711"}


async def count(administrator, table: str) -> int:
    return await administrator.fetchval(f"SELECT count(*) FROM {table}")


async def test_the_same_request_is_answered_with_the_same_bytes(api, administrator) -> None:
    first = await api.post("/v1/customers", {"name": "Ada"}, headers=KEY)
    path = f"/v1/customers/{first.json()['id']}"
    await api.patch(path, {"name": "Countess"})  # the answer stays what it was
    again = await api.post("/v1/customers", {"name": "Ada"}, headers=KEY)
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert await count(administrator, "customers") == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/customers", {"name": "Bob"}),
        ("POST", "/v1/plans", {"name": "Ada"}),
        ("PATCH", "/v1/customers/cus_01k9zs8m4vf1xr7c2n5q0d3tyb", {"name": "Ada"}),
    ],
)
async def test_another_request_with_the_key_is_refused(api, method, path, body) -> None:
    await api.post("/v1/customers", {"name": "Ada"}, headers=KEY)
    refused = await api.call(method, path, json=body, status=422, headers=KEY)
    assert refused.json()["code"] == "idempotency_key_reused"


async def test_each_merchant_has_its_own_keys(api, other, administrator) -> None:
    mine = await api.post("/v1/customers", {"name": "Ada"}, headers=KEY)
    theirs = await other.post("/v1/customers", {"name": "Ada"}, headers=KEY)
    assert mine.json()["id"] != theirs.json()["id"]


async def test_of_many_at_once_one_does_the_work(api, administrator) -> None:
    async def send() -> httpx.Response:
        headers = KEY | {"Authorization": f"Bearer {api.key}"}
        return await api.client.post("/v1/customers", json={"name": "Ada"}, headers=headers)

    answers = await asyncio.gather(*(send() for _ in range(20)))
    made = [answer for answer in answers if answer.status_code == 201]
    busy = [answer for answer in answers if answer.status_code == 409]
    assert len(made) + len(busy) == 20
    assert len({answer.json()["id"] for answer in made}) == 1
    assert {answer.json()["code"] for answer in busy} <= {"idempotency_key_in_use"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in busy)
    assert await count(administrator, "customers") == 1


async def test_a_definite_refusal_is_kept_and_a_wrong_shape_is_not(api) -> None:
    await api.new("customers", external_id="taken")
    body = {"external_id": "taken"}
    first = await api.post("/v1/customers", body, status=409, headers=KEY)
    again = await api.post("/v1/customers", body, status=409, headers=KEY)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["request_id"] == first.json()["request_id"]
    shape = {"Idempotency-Key": "shape"}
    await api.post("/v1/customers", {"name": 5}, status=422, headers=shape)
    await api.post("/v1/customers", {"name": "5"}, headers=shape)


async def test_our_own_failure_is_not_kept(api, monkeypatch) -> None:
    calls = 0
    first = idempotency.answered

    async def fails_once(*arguments) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError
        await first(*arguments)

    monkeypatch.setattr(idempotency, "answered", fails_once)
    await api.post("/v1/customers", {}, status=500, headers=KEY)
    answer = await api.post("/v1/customers", {}, headers=KEY)
    assert "idempotent-replayed" not in answer.headers


async def test_a_crash_between_commit_and_answer_is_answered_with_what_was_done(
    api, rt, administrator, monkeypatch
) -> None:
    """The commit marks the key; when nobody is left to answer, the mark is the answer."""

    async def dies(*_) -> None:
        raise OSError("the process is gone")

    monkeypatch.setattr(replay.idempotency, "keep", dies)
    made = (await api.post("/v1/customers", {"name": "Ada"}, headers=KEY)).json()
    monkeypatch.undo()
    # Its lease still runs: it may be about to answer.
    busy = await api.post("/v1/customers", {"name": "Ada"}, status=409, headers=KEY)
    assert busy.json()["code"] == "idempotency_key_in_use"
    rt.clock.advance(idempotency.LEASE)
    again = await api.post("/v1/customers", {"name": "Ada"}, headers=KEY)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == made
    assert await count(administrator, "customers") == 1


async def test_a_holder_whose_lease_ran_out_does_nothing(api, rt, administrator) -> None:
    """Two processes hold the key, one after the other: only the later one's work commits."""
    real = idempotency.answered
    paused, go_on = asyncio.Event(), asyncio.Event()
    slow = True

    async def answered(*arguments) -> None:
        nonlocal slow
        if slow:
            slow = False
            paused.set()
            await go_on.wait()
        await real(*arguments)

    idempotency.answered = answered
    try:
        headers = KEY | {"Authorization": f"Bearer {api.key}"}
        first = asyncio.create_task(
            api.client.post("/v1/customers", json={"name": "Ada"}, headers=headers)
        )
        await paused.wait()
        rt.clock.advance(idempotency.LEASE)
        second = await api.post("/v1/customers", {"name": "Ada"}, headers=KEY)
        go_on.set()
        overtaken = await first
    finally:
        idempotency.answered = real
    assert overtaken.status_code == 409
    customers = (await api.get("/v1/customers")).json()["data"]
    assert [customer["id"] for customer in customers] == [second.json()["id"]]


async def test_a_key_is_forgotten_after_its_time(api, rt, administrator) -> None:
    first = await api.post("/v1/customers", {"name": "Ada"}, headers=KEY)
    rt.clock.advance(idempotency.KEPT)
    second = await api.post("/v1/customers", {"name": "Ada"}, headers=KEY)
    assert first.json()["id"] != second.json()["id"]
    rt.clock.advance(idempotency.KEPT)
    assert await idempotency.forget_expired(rt) == 1
    assert await count(administrator, "idempotency_keys") == 0


@pytest.mark.parametrize("key", ["", "x" * 256, "ünïcode", "tab\there", "a blank"])
async def test_what_cannot_be_a_key_is_refused(api, key: str) -> None:
    answer = await api.post(
        "/v1/customers", {}, status=422, headers={"Idempotency-Key": key.encode()}
    )
    assert answer.json()["code"] == "invalid_idempotency_key"


SERVER = """
import asyncio, os, signal, sys
from app.services import idempotency
from app.api import replay

async def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

replay.idempotency.keep = die
import uvicorn
uvicorn.run("app.main:app", port=int(sys.argv[1]), log_level="error")
"""


async def test_a_killed_process_has_done_the_work_once(
    api, rt, database_url, administrator, unused_port
) -> None:
    """SIGKILL after the commit, before the answer: whoever asks next gets what was done."""
    server = subprocess.Popen(  # noqa: ASYNC220  it outlives this function
        [sys.executable, "-c", SERVER, str(unused_port)],
        env=os.environ | {"DATABASE_URL": database_url},
    )
    try:
        headers = KEY | {"Authorization": f"Bearer {api.key}"}
        base = f"http://127.0.0.1:{unused_port}"
        async with httpx.AsyncClient(base_url=base, headers=headers) as client:
            await until_ready(client)
            with pytest.raises(httpx.TransportError):
                await client.post("/v1/customers", json={"name": "Ada"})
        assert server.wait(10) == -signal.SIGKILL
    finally:
        server.kill()
        server.wait()
    assert await count(administrator, "customers") == 1
    lease = await administrator.fetchval("SELECT lease_until FROM idempotency_keys")
    rt.clock.at = lease  # the other process had the wall clock's time
    again = await api.client.post(
        "/v1/customers", content=b'{"name":"Ada"}', headers=headers | JSON
    )
    assert again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert await count(administrator, "customers") == 1


JSON = {"Content-Type": "application/json"}


async def until_ready(client: httpx.AsyncClient, seconds: float = 20) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        try:
            if (await client.get("/readyz")).status_code == 200:
                return
        except httpx.TransportError:
            await asyncio.sleep(0.05)
    raise AssertionError("the server did not come up")
