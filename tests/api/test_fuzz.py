"""The API against its own description: whatever the document allows, or does not, is answered as
the document says, and never with a 500. Schemathesis sends; a real server answers over loopback.
"""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.cli.openapi import DOCUMENT
from tests.api.conftest import ADMIN_KEY
from tests.api.test_idempotency import until_ready
from tests.world import SECRET_KEY

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 600
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
# An operation that would end what the others need is left to its own tests.
EXCLUDED = ("delete_customer",)


@pytest.fixture
async def served(shop, database_url, unused_port, simulator):
    """Another process that serves the stocked database."""
    server = subprocess.Popen(  # noqa: ASYNC220  it outlives this function
        [sys.executable, "-m", "app.cli", "api", "--port", str(unused_port)],
        cwd=ROOT,
        env=os.environ
        | {
            "DATABASE_URL": database_url,
            "PERENNIAL_ADMIN_KEY": ADMIN_KEY,
            "PERENNIAL_LOG_LEVEL": "error",
            "PERENNIAL_SECRET_KEYS": SECRET_KEY,
            "PERENNIAL_SIMULATOR_URL": simulator.url,
        },
    )
    base = f"http://127.0.0.1:{unused_port}"
    try:
        async with httpx.AsyncClient(base_url=base) as client:
            await until_ready(client)
        yield base
    finally:
        server.terminate()
        server.wait(20)


def configuration(shop) -> str:
    """Schemathesis's settings: real identifiers in addresses, and the key that opens each one."""
    lines = ["[parameters]"]
    lines += [f'"path.{noun}_id" = "{given}"' for noun, given in shop.ids.items()]
    lines += [f'"path.offer_token" = "{shop["offer_token"]}"']
    lines += [
        "[[operations]]",
        'include-tag = "merchants"',
        f'headers = {{ Authorization = "Bearer {ADMIN_KEY}" }}',
    ]
    return "\n".join(lines)


@pytest.mark.timeout(SECONDS_MAX + 60)
async def test_the_document_and_the_server_agree(shop, served, tmp_path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(configuration(shop))
    command = [Path(sys.executable).with_name("st"), "--config-file", config, "run", DOCUMENT]
    options = {
        "url": served,
        "checks": ",".join(CHECKS),
        "phases": "examples,coverage,fuzzing",
        "max-examples": 5,
        "seed": 4711,
        "workers": 1,
        "header": f"Authorization: Bearer {shop.api.key}",
        "report": "ndjson",
        "report-dir": tmp_path,
    }
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command += [word for name in EXCLUDED for word in ("--exclude-operation-id", name)]
    done = subprocess.run(  # noqa: ASYNC221  nothing else runs meanwhile
        command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
