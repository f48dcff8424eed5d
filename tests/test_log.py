"""What is written to the log: no secret and no card number, however it comes there."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from app import log

SECRET_PART = (
    "Zx-9_Qw7-Rt5_Yu3-Io1_Pa2-Sd4_Fg6-Hj8_KlM0n"  # as random as ours, with all that is in them
)
TAIL = SECRET_PART[-12:]
KEY = b64encode(bytes(range(240, 256)) + b"\xfb\xef\xbe" * 5).decode()


@pytest.fixture
def logger() -> Iterator[Any]:
    before = structlog.get_config()
    structlog.reset_defaults()
    log.configure("debug", "json")
    yield log.get("test")
    structlog.configure(**before)


@pytest.mark.parametrize(
    "secret",
    [
        f"sk_live_{SECRET_PART}",
        f"pk_test_{SECRET_PART}",
        f"pl_01m8p8wjb9eegaqxj594b67nbb_{SECRET_PART}",
        f"ct_{SECRET_PART}",
        f"ol_{SECRET_PART}",
        f"oc_{SECRET_PART}",
    ],
)
def test_a_secret_of_ours_is_masked_to_its_last_character(secret: str) -> None:
    said = log.redact(f"GET /pay/{secret}, and “{secret}” again")
    assert TAIL not in said
    assert said.endswith("again")


def test_a_webhooks_secret_is_masked_to_its_last_character() -> None:
    assert {"+", "/"} <= set(KEY)
    assert KEY[-8:] not in log.redact(f"the secret whsec_{KEY} does not open")


@pytest.mark.parametrize(
    "name", ["webhook_secret", "client_token", "previous_password", "x_api_key", "key", "secret"]
)
def test_what_is_named_a_secret_is_not_written(name: str, logger: Any, capsys: Any) -> None:
    logger.info("opened", **{name: "correct horse"}, nested={name: ["correct horse"]})
    written = json.loads(capsys.readouterr().out)
    assert written[name] == written["nested"][name] == "[redacted]"


def test_what_is_no_text_is_masked_as_it_is_written(logger: Any, capsys: Any) -> None:
    logger.error(
        "refused",
        error=ValueError(f"sk_live_{SECRET_PART}"),
        raw=f"whsec_{KEY}".encode(),
        several={f"sk_live_{SECRET_PART}"},
        at=None,
        count=3,
    )
    written = capsys.readouterr().out
    assert TAIL not in written
    assert KEY[-8:] not in written
    assert (json.loads(written)["at"], json.loads(written)["count"]) == (None, 3)


@pytest.mark.parametrize(
    "text",
    ["direct_debit_of_a_customer_here", "pl_1", "ct_events", "cus_01k9zs8m4vf1xr7c2n5q0d3tyb"],
)
def test_other_words_stay(text: str) -> None:
    assert log.redact(text) == text
