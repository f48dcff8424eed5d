"""Bad requests: each is answered with a problem document, and none with a trace or a 500."""

import base64
import json

import pytest

from app.redaction import looks_like_card

pytestmark = pytest.mark.anyio

MEMBERS = {
    "type",
    "title",
    "status",
    "detail",
    "code",
    "param",
    "decline_code",
    "request_id",
    "errors",
}
JSON = {"Content-Type": "application/json"}


def assert_problem(answer, status: int, code: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == MEMBERS
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:perennial:problem:{code}"
    assert problem["request_id"] == answer.headers["request-id"]
    assert problem["request_id"].startswith("req_")
    return problem


BODIES = {
    "not json": (b"{", 400, "malformed_json"),
    "not utf-8": (b'{"name": "\xff"}', 400, "malformed_json"),
    "a lone surrogate": (rb'{"name": "\ud800"}', 400, "malformed_json"),
    "nan": (b'{"name": NaN}', 400, "malformed_json"),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400, "malformed_json"),
    "very deep": (b'{"metadata":' + b"[" * 900 + b"]" * 900 + b"}", 400, "malformed_json"),
    "deep beyond recursion": (b"[" * 200_000 + b"]" * 200_000, 400, "malformed_json"),
    "a list": (b"[]", 422, "invalid_request"),
    "a text": (b'"x"', 422, "invalid_request"),
    "null": (b"null", 422, "invalid_request"),
    "NUL": (rb'{"name": "a\u0000b"}', 422, "invalid_character"),
    "NUL in a key": (rb'{"metadata": {"\u0000": "x"}}', 422, "invalid_character"),
    "a huge integer": (b'{"name": 1' + b"0" * 400 + b"}", 400, "malformed_json"),
    "a large integer": (b'{"name": 9007199254740993}', 422, "invalid_number"),
    "an integer beyond 64 bits": (b'{"name": 18446744073709551617}', 422, "invalid_number"),
    "a float": (b'{"metadata": {"a": 1.5}}', 422, "invalid_number"),
    "an unknown field": (b'{"nmae": "Ada"}', 422, "invalid_request"),
    "an unknown field within": (b'{"address": {"planet": "x"}}', 422, "invalid_request"),
    "a number for a text": (b'{"name": 5}', 422, "invalid_request"),
    "too long": (b'{"name": "' + b"x" * 201 + b'"}', 422, "invalid_request"),
    "empty": (b'{"name": ""}', 422, "invalid_request"),
    "no e-mail": (b'{"email": "nobody"}', 422, "invalid_request"),
    "e-mail with a line end": (b'{"email": "a@b.c\\n"}', 422, "invalid_request"),
    "no country": (b'{"address": {"country": "Germany"}}', 422, "invalid_request"),
    "no time zone": (b'{"time_zone": "Mars/Olympus"}', 422, "invalid_request"),
    "a path for a time zone": (b'{"time_zone": "../../etc/passwd"}', 422, "invalid_request"),
    "another noun's id": (b'{"test_clock_id": "cus_x"}', 422, "invalid_request"),
    "an id that overflows": (
        b'{"test_clock_id": "clock_8zzzzzzzzzzzzzzzzzzzzzzzzz"}',
        422,
        "invalid_request",
    ),
    "metadata of lists": (b'{"metadata": {"a": ["x"]}}', 422, "invalid_request"),
    "metadata value too long": (
        json.dumps({"metadata": {"a": "x" * 501}}).encode(),
        422,
        "invalid_request",
    ),
    "metadata key too long": (
        json.dumps({"metadata": {"k" * 41: "x"}}).encode(),
        422,
        "invalid_request",
    ),
    "too much metadata": (
        json.dumps({"metadata": {str(n): "x" for n in range(51)}}).encode(),
        422,
        "invalid_request",
    ),
    "a card number": (b'{"name": "4242 4242 4242 4242"}', 422, "card_number_refused"),
    "a card number within a text": (
        b'{"metadata": {"note": "card 5555-5555-5555-4444 ok"}}',
        422,
        "card_number_refused",
    ),
    "a card number as a key": (
        b'{"metadata": {"378282246310005": "x"}}',
        422,
        "card_number_refused",
    ),
    "nothing there": (
        b'{"test_clock_id": "clock_01k9zs8m4vf1xr7c2n5q0d3tyb"}',
        422,
        "reference_not_found",
    ),
}


@pytest.mark.parametrize("case", BODIES)
async def test_a_bad_body_is_a_problem(api, case: str) -> None:
    body, status, code = BODIES[case]
    headers = {"Authorization": f"Bearer {api.key}"} | JSON
    answer = await api.client.post("/v1/customers", content=body, headers=headers)
    problem = assert_problem(answer, status, code)
    assert "Traceback" not in answer.text
    assert len(problem["detail"]) < 300


async def test_every_fault_is_listed_with_its_path(api) -> None:
    body = {"customer_id": "x", "items": [{"price_id": "y", "quantity": -1, "qty": 1}], "a b": 1}
    answer = await api.post("/v1/subscriptions", body, status=422)
    faults = {(f["param"], f["code"]) for f in answer.json()["errors"]}
    assert faults == {
        ("customer_id", "invalid_value"),
        ("items[0].price_id", "invalid_value"),
        ("items[0].quantity", "greater_than_equal"),
        ("items[0].qty", "unknown_parameter"),
        ("?", "unknown_parameter"),
    }


async def test_values_are_never_echoed(api) -> None:
    secret = "hunter2-do-not-repeat"
    body = {"email": secret, "name": [secret], "time_zone": secret, "metadata": {"a": [secret]}}
    answer = await api.post("/v1/customers", body, status=422)
    assert secret not in answer.text


QUERIES = {
    "unknown": ("/v1/customers?nmae=x", 422, "unknown_parameter"),
    "unknown on a single read": ("/v1/customers/{}?limit=1", 422, "unknown_parameter"),
    "limit zero": ("/v1/customers?limit=0", 422, "invalid_request"),
    "limit beyond": ("/v1/customers?limit=101", 422, "invalid_request"),
    "limit no number": ("/v1/customers?limit=ten", 422, "invalid_request"),
    "limit a huge number": ("/v1/customers?limit=" + "9" * 5_000, 422, "invalid_request"),
    "a made-up cursor": ("/v1/customers?cursor=AAAA", 422, "invalid_cursor"),
    "a cursor that is no base64": ("/v1/customers?cursor=%C3%A4%21", 422, "invalid_cursor"),
    "NUL": ("/v1/customers?external_id=a%00b", 422, "invalid_character"),
    "no instant": ("/v1/customers?created_gte=yesterday", 422, "invalid_request"),
    "an instant as a number": ("/v1/customers?created_gte=1e400", 422, "invalid_request"),
    "an instant far off": ("/v1/customers?created_gte=9999-12-31T23:59:59-23:59", 422, None),
    "an instant without a zone": ("/v1/customers?created_gte=2030-01-01T00:00:00", 422, None),
    "many expansions": ("/v1/customers/{}?expand=" + ",".join("abcdefghijk"), 422, None),
    "an unknown status": ("/v1/subscriptions?status=eternal", 422, "invalid_request"),
}


@pytest.mark.parametrize("case", QUERIES)
async def test_a_bad_query_is_a_problem(api, case: str) -> None:
    path, status, code = QUERIES[case]
    made = await api.new("customers")
    answer = await api.get(path.replace("{}", made["id"]), status)
    assert_problem(answer, status, code or "invalid_request" if code else answer.json()["code"])


ADDRESSES = {
    "no route": ("GET", "/v1/nothing", 404, "route_not_found"),
    "the root": ("GET", "/", 404, "route_not_found"),
    "a slash too many": ("GET", "/v1/customers/", 404, "route_not_found"),
    "no such object": ("GET", "/v1/customers/cus_01k9zs8m4vf1xr7c2n5q0d3tyb", 404, "not_found"),
    "no identifier": ("GET", "/v1/customers/x", 404, "not_found"),
    "another noun's identifier": ("GET", "/v1/customers/sub_01k9zs8m4vf1xr7c2n5q0d3tyb", 404, None),
    "NUL": ("GET", "/v1/customers/%00", 404, "not_found"),
    "bad UTF-8": ("GET", "/v1/customers/%ff", 404, "not_found"),
    "a method too many": ("PUT", "/v1/customers", 405, "method_not_allowed"),
    "an unknown method": ("BREW", "/v1/customers", 405, "method_not_allowed"),
}


@pytest.mark.parametrize("case", ADDRESSES)
async def test_a_bad_address_is_a_problem(api, case: str) -> None:
    method, path, status, code = ADDRESSES[case]
    answer = await api.call(method, path, status=status)
    assert_problem(answer, status, code or "not_found")
    if status == 405:
        assert answer.headers["allow"] == "GET, POST"


async def test_a_body_that_is_too_large_is_refused_while_it_is_read(api, rt) -> None:
    sent = 0

    async def endless():
        nonlocal sent
        while sent < 64 * 2**20:
            sent += 2**16
            yield b" " * 2**16

    headers = {"Authorization": f"Bearer {api.key}"} | JSON
    answer = await api.client.post("/v1/customers", content=endless(), headers=headers)
    assert_problem(answer, 413, "body_too_large")
    assert sent <= rt.settings.body_bytes_max + 2 * 2**16


async def test_only_json_is_read(api) -> None:
    headers = {"Authorization": f"Bearer {api.key}"}
    answer = await api.client.post("/v1/customers", data={"name": "Ada"}, headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")
    typeless = await api.client.post("/v1/customers", content=b"{}", headers=headers)
    assert_problem(typeless, 415, "unsupported_media_type")


async def test_no_body_is_an_empty_one(api) -> None:
    headers = {"Authorization": f"Bearer {api.key}"}
    assert (await api.client.post("/v1/customers", headers=headers)).status_code == 201
    answer = await api.client.post("/v1/plans", headers=headers)
    faults = {fault["param"] for fault in assert_problem(answer, 422, "invalid_request")["errors"]}
    assert faults == {"code", "name"}


async def test_a_call_without_a_body_takes_none(api) -> None:
    customer = await api.new("customers")
    card = await api.new(
        "payment_methods", customer_id=customer["id"], gateway_reference="pm_sim_ok"
    )
    path = f"/v1/payment_methods/{card['id']}/detach"
    assert_problem(await api.post(path, {"a": 1}, status=422), 422, "unknown_parameter")
    await api.post(path, status=200)


KEYS = {
    "none": (None, "missing_api_key"),
    "empty": ("", "invalid_api_key"),
    "another scheme": ("Digest x", "invalid_api_key"),
    "no token": ("Bearer ", "invalid_api_key"),
    "unknown": ("Bearer sk_test_unknown", "invalid_api_key"),
    "very long": ("Bearer " + "x" * 5_000, "invalid_api_key"),
    "not base64": ("Basic %%%", "invalid_api_key"),
    "not text": ("Basic " + base64.b64encode(b"\xff\xfe").decode(), "invalid_api_key"),
}


@pytest.mark.parametrize("case", KEYS)
async def test_without_a_good_key_there_is_no_answer(client, rt, case: str) -> None:
    header, code = KEYS[case]
    headers = {} if header is None else {"Authorization": header}
    answer = await client.get("/v1/customers", headers=headers)
    assert_problem(answer, 401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_our_own_mistake_names_the_request_and_nothing_else(api, app, capsys) -> None:
    class Broken:
        def __getattr__(self, name: str):
            raise RuntimeError("secret detail")

    app.state.runtime = Broken()
    answer = await api.client.get("/v1/customers", headers={"Authorization": f"Bearer {api.key}"})
    problem = assert_problem(answer, 500, "internal_error")
    assert "secret detail" not in answer.text
    assert problem["detail"] == "Something went wrong on our side."
    logged = capsys.readouterr().out
    assert problem["request_id"] in logged
    assert "RuntimeError" in logged
    assert api.key not in logged, "a trace must not show what was in the request"


CARDS = (
    "4242424242424242",
    "4222222222222",
    "5555 5555 5555 4444",
    "2223-0031-2200-3222",
    "3782 822463 10005",
    "6011111111111117",
    "30569309025904",
    "3566002020360505",
    "6200000000000005",
    "paid with 4000056655665556, thanks",
    "2 x 12 4242424242424242",
    "12 4242 4242 4242 4242",
    "1111-4242-4242-4242-4242",
    "order 7 3782-822463-10005",
    "It is 4242424242424242.",
    "4242424242424242 - or 5555555555554444-, who knows",
    "No.4242 4242 4242 4242. And so on",
)
NOT_CARDS = (
    "4242424242424241",  # the check digit is wrong
    "1234567890123452",  # no network begins with 1
    "42424242424242424242424242",  # longer than any card
    "0" * 16,
    "175928847299117063",  # a snowflake
    "2030-01-31T12:00:00.424242Z",
    "cus_4242424242424242",  # within a word
    "1.4242424242424242",
    "4242424242424242.5",
    "order-4242424242424242",
    "+49 170 4242 4242",
    "DE89 3704 0044 0532 0130 00",
)


@pytest.mark.parametrize("text", CARDS)
def test_card_numbers_are_seen(text: str) -> None:
    assert looks_like_card(text)


@pytest.mark.parametrize("text", NOT_CARDS)
def test_other_numbers_are_let_through(text: str) -> None:
    assert not looks_like_card(text)


async def test_the_process_says_whether_it_lives_and_works(client, rt) -> None:
    assert (await client.get("/livez")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ok"}
    metrics = (await client.get("/metrics")).text
    assert 'perennial_http_requests_total{method="GET",route="/livez",status="200"}' in metrics
