"""Start the simulator as its own process, ask its ledger for the truth, and switch faults on."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

ROOT: Final = Path(__file__).parents[1]
SECRET: Final = "sk_sim_test"
START_SECONDS: Final = 20
STARTS_MAX: Final = 5


@dataclass
class SimulatorProcess:
    """A running simulator; everything here speaks to it over HTTP, past the adapter under test."""

    url: str
    ledger_path: Path
    process: subprocess.Popen[bytes]
    client: httpx.Client

    @property
    def pid(self) -> int:
        return self.process.pid

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self.client.request(method, path, **arguments)
        assert answer.is_success, answer.text
        return answer.json()

    def ledger(self, reference: str | None = None) -> dict[str, Any]:
        """Totals by currency, duplicates, and every transaction; of one reference if given."""
        params: dict[str, Any] = {"limit": 1_000} | ({"reference": reference} if reference else {})
        ledger = self.request("GET", "/v1/ledger", params=params)
        page = ledger["transactions"]
        rows = page["data"]
        while page["has_more"]:
            params["after"] = page["next_cursor"]
            page = self.request("GET", "/v1/ledger", params=params)["transactions"]
            rows += page["data"]
        return {
            "totals": ledger["totals"],
            "duplicates": ledger["duplicates"],
            "transactions": rows,
        }

    def charged(self, reference: str) -> int:
        """How much really moved under this reference, in minor units; 0 if nothing did."""
        return sum(total["charged"] for total in self.ledger(reference)["totals"].values())

    def refunded(self, reference: str) -> int:
        """How much really moved back under this reference, in minor units."""
        return sum(total["refunded"] for total in self.ledger(reference)["totals"].values())

    def set_faults(self, *faults: dict[str, Any], seed: int = 0) -> None:
        """Replace the faults in force; docs/simulator.md has the fields."""
        self.request("PUT", "/v1/faults", json={"seed": seed, "faults": faults})

    def set_fault(self, kind: str, *, seed: int = 0, **fields: Any) -> None:
        """Replace the faults in force by one."""
        self.set_faults({"kind": kind, **fields}, seed=seed)

    def clear_faults(self) -> None:
        self.request("DELETE", "/v1/faults")

    def payment_method(self, behaves_like: str = "pm_sim_ok") -> str:
        """A new token in the vault."""
        body = {"behaves_like": behaves_like}
        token: str = self.request("POST", "/v1/payment_methods", json=body)["id"]
        return token

    def kill(self) -> None:
        """SIGKILL: no goodbye, nothing flushed."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start again on the same port and the same ledger."""
        assert self.process.poll() is not None, "it is still running"
        self.client.close()
        self.process, self.client = launch(int(self.url.rpartition(":")[2]), self.ledger_path)


def free_port() -> int:
    """A loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def launch(port: int, ledger_path: Path) -> tuple[subprocess.Popen[bytes], httpx.Client]:
    """The process and a client, once it answers; ChildProcessError if it dies before that."""
    command = [sys.executable, "-m", "app.simulator", "--port", str(port)]
    environment = os.environ | {"PERENNIAL_SIMULATOR_SECRET": SECRET}
    # A file, not a pipe: a pipe that nobody reads would fill up and stop the simulator.
    errors = ledger_path.with_suffix(".log")
    with errors.open("ab") as log:
        process = subprocess.Popen(
            [*command, "--ledger", str(ledger_path)], cwd=ROOT, env=environment, stderr=log
        )
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Bearer {SECRET}"},
        trust_env=False,
        timeout=30,
    )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            client.get("/livez").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.02)
        else:
            return process, client
    client.close()
    process.kill()
    process.wait()
    raise ChildProcessError(f"the simulator did not start: {errors.read_text()[-2000:]}")


@contextmanager
def start_simulator(tmp_path: Path) -> Iterator[SimulatorProcess]:
    """A simulator of your own with its ledger in `tmp_path`, stopped at the end."""
    ledger_path = tmp_path / "simulator.sqlite3"
    for start in range(STARTS_MAX):
        port = free_port()
        try:
            process, client = launch(port, ledger_path)
            break
        except ChildProcessError:
            # Somebody else may have taken the port between our look and the start.
            if start == STARTS_MAX - 1:
                raise
    simulator = SimulatorProcess(f"http://127.0.0.1:{port}", ledger_path, process, client)
    try:
        yield simulator
    finally:
        simulator.client.close()
        stop(simulator.process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL if that is not heard."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
