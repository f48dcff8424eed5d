"""Processes that die: real ones, by SIGKILL, at a chosen step of their event loop or a moment.

`python -m tests.campaigns.mortal` is a process that has everything imported and forks a child for
each task it is given, so that a death costs milliseconds. A child does the worker's work with the
clock standing where the task says, and kills itself after so many turns of its event loop, or is
killed after so many milliseconds.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from asyncio import SelectorEventLoop
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.bell import Silent
from app.clock import ManualClock
from app.runtime import Runtime, open_runtime
from app.services import look_ups, payments, price_moves, refunds, renewals, test_clocks
from app.settings import Settings

ROOT = Path(__file__).parents[2]
WORK = {
    "renew": renewals.renew_due,
    "collect": payments.collect_due,
    "resolve": look_ups.resolve_due,
    "refunds": refunds.resolve_due,
    "advance": test_clocks.advance_all,
    "migrate": price_moves.run_due,
}


@dataclass(frozen=True)
class Task:
    """What a child is to do at `at`, and when it dies: by steps, by time, or not at all."""

    at: str
    work: Sequence[str] = ("renew", "collect", "resolve")
    steps: int | None = None
    kill_after_ms: int | None = None


@dataclass(frozen=True)
class Fate:
    """Whether it died, and if not, in how many turns of its loop it was done."""

    died: bool
    steps: int


class MortalLoop(SelectorEventLoop):
    """An event loop that counts its turns and ends the process after `left` of them."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self.left: int | None = None

    def _run_once(self) -> None:
        self.turns += 1
        if self.left is not None:
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1
        super()._run_once()  # type: ignore[misc]


class Mortal:
    """The tests' end: hands over tasks and hears how they ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, at: datetime, **task: Any) -> Fate:
        """Let a child do the task; returns when it is done or dead."""
        self.send(at, **task)
        return self.hear()

    def send(self, at: datetime, **task: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(Task(at.isoformat(), **task))) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Fate:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that forks has died itself"
        return Fate(**json.loads(line))


@contextmanager
def mortals(database_url: str, simulator_url: str, **settings: Any) -> Iterator[Mortal]:
    """A process that forks for this database and this gateway."""
    given = {"database_url": database_url, "simulator_url": simulator_url} | settings
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.campaigns.mortal", json.dumps(given)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Mortal(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()


async def labour(rt: Runtime, work: Sequence[str], loop: MortalLoop, steps: int | None) -> None:
    """Do the work once the connections are warm, counting turns from here."""
    async with rt.db.begin_system() as tx:
        await tx.fetchval("SELECT 1")
    loop.turns, loop.left = 0, steps
    for name in work:
        await WORK[name](rt)
    loop.left = None


async def live(task: Task, settings: Settings) -> int:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MortalLoop)
    clock = ManualClock(datetime.fromisoformat(task.at))
    async with open_runtime(settings, clock=clock, bell=Silent()) as rt:
        await labour(rt, task.work, loop, task.steps)
        return loop.turns


def child(task: Task, settings: Settings, out: int) -> None:
    """In the forked process: live, and say in how many turns."""
    with asyncio.Runner(loop_factory=MortalLoop) as runner:
        turns = runner.run(live(task, settings))
    os.write(out, str(turns).encode())


def one_life(task: Task, settings: Settings) -> Fate:
    """Fork, wait, and see what became of it."""
    heard, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(heard)
        status = 1
        try:
            child(task, settings, told)
            status = 0
        finally:
            os._exit(status)
    os.close(told)
    reaper = None
    if task.kill_after_ms is not None:
        reaper = threading.Timer(task.kill_after_ms / 1000, os.kill, (pid, signal.SIGKILL))
        reaper.start()
    with os.fdopen(heard) as said:
        words = said.read()
    _, status = os.waitpid(pid, 0)
    if reaper is not None:
        reaper.cancel()
        reaper.join()
    if os.WIFSIGNALED(status):
        return Fate(True, task.steps or 0)
    assert os.WEXITSTATUS(status) == 0, "the child failed by itself"
    return Fate(False, int(words))


def main() -> None:
    """Read tasks, one a line, and answer each with its fate."""
    given = json.loads(sys.argv[1])
    given["database_url"] = SecretStr(given["database_url"])
    settings = Settings(**given)
    for line in sys.stdin:
        fate = one_life(Task(**json.loads(line)), settings)
        sys.stdout.write(json.dumps(asdict(fate)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
