"""Start the fake as its own process, the only one that has the official bindings on its path."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.simulator import ROOT, free_port, stop

BINDINGS = Path(sys.prefix) / "oracles"
START_SECONDS = 60
STARTS_MAX = 5


@dataclass
class FakeAuthorizeNet:
    """A running fake, spoken to past the adapter."""

    url: str
    client: httpx.Client

    def do(self, verb: str, **fields: Any) -> Any:
        answer = self.client.post(f"/control/{verb}", json=fields)
        assert answer.is_success, answer.text
        return answer.json()

    def set_fault(self, kind: str, **fields: Any) -> None:
        self.do("faults", faults=[{"kind": kind, **fields}])

    def reset(self) -> None:
        """Empty books, fair weather, nobody has complained."""
        self.do("reset")


@contextmanager
def start_fake(folder: Path) -> Iterator[FakeAuthorizeNet]:
    """A fake of your own, stopped at the end."""
    assert (BINDINGS / "authorizenet").is_dir(), f"make setup puts the bindings into {BINDINGS}"
    errors = folder / "authorizenet.log"
    for start in range(STARTS_MAX):
        try:
            process, fake = launch(free_port(), errors)
            break
        except ChildProcessError:
            if start == STARTS_MAX - 1:
                raise
    try:
        yield fake
    finally:
        fake.client.close()
        stop(process)


def launch(port: int, errors: Path) -> tuple[subprocess.Popen[bytes], FakeAuthorizeNet]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.gateways.fakes.authorizenet", str(port)]
    with errors.open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(BINDINGS)}, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    client = httpx.Client(base_url=url, trust_env=False, timeout=60)
    fake = FakeAuthorizeNet(url, client)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            fake.do("live")
        except (httpx.HTTPError, AssertionError):
            time.sleep(0.05)
        else:
            return process, fake
    client.close()
    process.kill()
    process.wait()
    raise ChildProcessError(f"the fake did not start: {errors.read_text()[-2000:]}")
