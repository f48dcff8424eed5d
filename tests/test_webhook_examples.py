"""The examples of docs/webhooks.md, run as they stand there, on calls that we signed."""

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app import signing
from app.clock import SystemClock

PAGE = Path(__file__).parents[1] / "docs" / "webhooks.md"
SECRET, OTHER = signing.new_secret(), signing.new_secret()
BODY = '{"type":"invoice.paid","name":"Zoë ☃"}'.encode()
NODE = shutil.which("node")


def example(language: str) -> str:
    [code] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return code


def call(*secrets: str, age: timedelta = timedelta()) -> dict[str, str]:
    at = SystemClock().now() - age
    return signing.headers([signing.key_of(s) for s in secrets], "evt_1", at, BODY)


GOOD = {"signed": lambda: call(SECRET), "exchanged": lambda: call(OTHER, SECRET)}
BAD = {
    "by another": lambda: call(OTHER),
    "another id": lambda: call(SECRET) | {"webhook-id": "evt_2"},
    "old": lambda: call(SECRET, age=timedelta(minutes=6)),
    "from the future": lambda: call(SECRET, age=-timedelta(minutes=6)),
    "nothing": lambda: call(SECRET) | {"webhook-signature": ""},
}


def in_python(headers: dict[str, str], body: bytes = BODY) -> Any:
    namespace: dict[str, Any] = {}
    exec(example("python"), namespace)
    return namespace["verified"](body, headers, SECRET)


def in_javascript(headers: dict[str, str], body: bytes = BODY) -> Any:
    if NODE is None:
        pytest.skip("NODE IS NOT HERE: the JavaScript example of docs/webhooks.md is not run.")
    given = json.dumps([body.decode(), headers, SECRET])
    script = f"{example('js')}\nconsole.log(JSON.stringify(verified(...{given})));"
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return json.loads(done.stdout)


@pytest.mark.parametrize("verify", [in_python, in_javascript])
@pytest.mark.parametrize("headers", GOOD.values(), ids=GOOD)
def test_what_we_signed_is_taken(verify, headers) -> None:
    assert verify(headers()) == {"type": "invoice.paid", "name": "Zoë ☃"}


@pytest.mark.parametrize("verify", [in_python, in_javascript])
@pytest.mark.parametrize("headers", BAD.values(), ids=BAD)
def test_anything_else_is_refused(verify, headers) -> None:
    with pytest.raises(ValueError, match=r"old|secret"):
        verify(headers())


@pytest.mark.parametrize("verify", [in_python, in_javascript])
def test_a_changed_body_is_refused(verify) -> None:
    with pytest.raises(ValueError, match="secret"):
        verify(call(SECRET), BODY.replace(b"paid", b"void"))
