"""Card numbers planted in every place where the API takes text, and secrets where it takes those:
none is ever found in an answer, a log, an event or a row.

The document of the API says where text is taken: every operation's every string, in bodies,
addresses and queries, one after the other, and headers.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.cli.openapi import DOCUMENT
from tests import canaries, gateway_events
from tests.api.conftest import ADMIN_KEY, NOW
from tests.canaries import CARDS, everything_kept, listening

pytestmark = pytest.mark.anyio

PLACEHOLDER = re.compile(r"\{(\w+)\}")
DEPTH_MAX = 8
SECRETS = {
    "a gateway's key": "sk_test_CanaryThatNobodyMaySee01",
    "a webhook's secret": gateway_events.OTHER,
}


class Document:
    """What the API says of itself."""

    def __init__(self) -> None:
        self._whole = json.loads(DOCUMENT.read_text())

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, item in self._whole["paths"].items():
            for method, operation in item.items():
                if method in {"get", "post", "put", "patch", "delete"}:
                    yield method.upper(), path, operation

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            found: Any = self._whole
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema

    def bodies(self, operation: dict[str, Any], canary: str) -> list[Any]:
        """A body for each place where text is taken: there the canary stands, and nothing else."""
        content = operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        return [] if schema is None else list(self._planted(schema, canary, 0))

    def _planted(self, schema: dict[str, Any], canary: str, depth: int) -> Iterator[Any]:
        schema = self.resolved(schema)
        if depth > DEPTH_MAX:
            return
        for other in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
            yield from self._planted(other, canary, depth + 1)
        match schema.get("type"):
            case "string":
                yield canary
            case "array":
                for each in self._planted(schema.get("items", {}), canary, depth + 1):
                    yield [each]
            case "object" | None:
                for name, part in schema.get("properties", {}).items():
                    for each in self._planted(part, canary, depth + 1):
                        yield {name: each}
                if isinstance(schema.get("additionalProperties"), dict):
                    yield {"note": canary}
                    yield {canary: "note"}
            case _:
                pass


@pytest.fixture
def said(capfd):
    """All that was logged, at debug."""
    with listening(capfd) as all_of_it:
        yield all_of_it


def found_in(text: str) -> set[str]:
    """Which canaries `text` holds, in groups or not."""
    return canaries.found_in(text, SECRETS.values())


async def calls(shop) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation with a canary in each place where it takes text."""
    document, made = Document(), []
    for turn, (method, path, operation) in enumerate(document.operations()):
        names = PLACEHOLDER.findall(path)
        known = {name: shop.ids.get(name.removesuffix("_id"), "x") for name in names}
        address = path.format(**known)
        canary = CARDS[turn % len(CARDS)]
        made += [(method, address, {"json": body}) for body in document.bodies(operation, canary)]
        for name in names:
            made.append((method, path.format(**known | {name: canary}), {"json": {}}))
        for part in map(document.resolved, operation.get("parameters", ())):
            if part["in"] == "query":
                made.append((method, address, {"params": {part["name"]: canary}}))
        for name in ("Idempotency-Key", "If-Match", "X-Request-Id", "User-Agent", "X-Canary"):
            made.append((method, address, {"json": {}, "headers": {name: canary}}))
    return made


async def test_no_card_number_that_is_planted_anywhere_is_ever_seen_again(
    shop, administrator, said
) -> None:
    leaks, planted = [], await calls(shop)
    assert len(planted) > 1_000
    for method, address, options in planted:
        key = ADMIN_KEY if address.startswith("/v1/merchants") else shop.api.key
        headers = {"Authorization": f"Bearer {key}"} | options.pop("headers", {})
        answer = await shop.api.client.request(method, address, headers=headers, **options)
        assert answer.status_code < 500, f"{method} {address} {options}: {answer.text}"
        if found_in(answer.text + str(answer.headers)):
            leaks.append(f"{method} {address} {options}: {answer.text[:300]}")
    logged = said()
    leaks += [line for line in logged.splitlines() if found_in(line)]
    leaks += [
        row[:300] for row in (await everything_kept(administrator)).split("\n") if found_in(row)
    ]
    assert not leaks, "\n".join(leaks[:20])


async def test_no_secret_that_is_kept_or_refused_is_ever_seen_again(
    shop, administrator, said
) -> None:
    api, key, secret = shop.api, *SECRETS.values()
    account = shop["gateway_account"]
    where = f"/v1/gateway_accounts/{account}"
    given = {"gateway": "simulator", "name": "Another", "credentials": {"secret_key": key}}
    tries = [
        ("POST", "/v1/gateway_accounts", given),
        ("POST", "/v1/gateway_accounts", given | {"gateway": "stripe"}),
        ("POST", "/v1/gateway_accounts", given | {"gateway": key}),
        ("POST", "/v1/gateway_accounts", given | {"credentials": {key: key}}),
        ("POST", "/v1/gateway_accounts", given | {"options": {"account_id": key}}),
        ("PUT", f"{where}/webhook_secret", {"secret": secret}),
        ("PUT", f"{where}/webhook_secret", {"secret": {"deep": secret}}),
        ("PATCH", where, {"credentials": {"secret_key": key}}),
        ("PUT", f"{where}/credentials", {"credentials": {"secret_key": key}}),
    ]
    answers = []
    for method, path, body in tries:
        headers = {"Authorization": f"Bearer {api.key}"}
        answers.append(await api.client.request(method, path, json=body, headers=headers))
    for bearer in (key, f"{key}x"):
        headers = {"Authorization": f"Bearer {bearer}"}
        answers.append(await api.client.get("/v1/customers", headers=headers))
    told = gateway_events.event("charge.succeeded", {"object": "charge", "id": "ch_1", "note": key})
    raw = json.dumps(told).encode()
    for signer in (gateway_events.SECRET, secret):
        signed = gateway_events.headers(raw, told["id"], NOW, signer) | {"x-note": key}
        path = f"/v1/gateways/simulator/{account}/webhooks"
        answers.append(await api.client.post(path, content=raw, headers=signed))
    assert [answer.text for answer in answers if answer.status_code >= 500] == []
    assert {answer.status_code for answer in answers} >= {200, 401, 422}
    assert [answer.text for answer in answers if found_in(answer.text)] == []
    assert [line for line in said().splitlines() if found_in(line)] == []
    kept = (await everything_kept(administrator)).split("\n")
    assert [row for row in kept if found_in(row)] == []
