"""The demo is the first thing anyone sees, so it runs in the suite: a small shop, two months."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]
SMALL = ("--customers", "12", "--months", "2")
SECONDS_MAX = 300
pytestmark = pytest.mark.timeout(2 * SECONDS_MAX)


def start(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.demo", "--any-port", *words],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "100"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_demo_bills_a_small_shop_and_proves_its_books() -> None:
    with start(*SMALL, PERENNIAL_DEMO_EXIT="1") as demo:
        printed, _ = demo.communicate(timeout=SECONDS_MAX)
    assert demo.returncode == 0, printed
    assert "Subscriptions: 12" in printed
    assert "Audit: clean." in printed
    sums = re.findall(r"(?:EUR|USD) +│ +([\d,.]+) │ +([\d,.]+) │ +0\.00 │", printed)
    assert sums, printed
    assert all(debit == credit for debit, credit in sums)
    assert re.search(r"Charged twice +│ +│ +0 │", printed)


def test_the_demo_leaves_the_service_running_until_ctrl_c() -> None:
    with start("--customers", "4", "--months", "1") as demo:
        watchdog = threading.Timer(SECONDS_MAX, demo.kill)
        watchdog.start()
        assert demo.stdout is not None
        printed = ""
        for line in demo.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        [command] = re.findall(r"curl -H '([^']+)' '(http[^']+trial_balance)'", printed)
        name, _, value = command[0].partition(": ")
        answer = httpx.get(command[1], headers={name: value})
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=SECONDS_MAX)
        watchdog.cancel()
    assert answer.json()["balanced"] is True
    assert demo.returncode == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(command[1], headers={name: value})
