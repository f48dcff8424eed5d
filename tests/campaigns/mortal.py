"""Processes that die: real ones, by SIGKILL, at a chosen step of their event loop, before or after
a chosen write to the database or the gateway, or at a moment.

`python -m tests.campaigns.mortal` is a process that has everything imported and forks a child for
each task it is given, so that a death costs milliseconds. A child does the worker's work with the
clock standing where the task says, and kills itself after so many turns of its event loop or so
many writes, or is killed after so many milliseconds.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from asyncio import SelectorEventLoop
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from app.bell import Silent
from app.clock import ManualClock
from app.domain.errors import BillingError
from app.runtime import Runtime, open_runtime
from app.services import (
    inbox_settling,
    look_ups,
    payment_actions,
    payments,
    price_moves,
    refunds,
    renewals,
    setup_calls,
    setup_sessions,
    test_clocks,
)
from app.services.caller import Caller
from app.services.inbox import Delivery, Mailbox
from app.services.refunds import CreateRefund
from app.services.setup_sessions import CreateSetupSession
from app.settings import Settings

ROOT = Path(__file__).parents[2]
HTTP = (b"GET ", b"POST", b"DELE")
About = Mapping[str, Any]
Work = Callable[[Runtime, About], Awaitable[Any]]


@dataclass(frozen=True)
class Task:
    """What a child is to do at `at`, and when it dies: at a turn of its loop, at one of the moments
    of `Wire`, by time, or not at all.
    """

    at: str
    work: Sequence[str] = ("renew", "collect", "resolve")
    about: About = field(default_factory=dict)
    """Whom the work is for, where it is not for all who are due."""
    steps: int | None = None
    moment: int | None = None
    kill_after_ms: int | None = None


@dataclass(frozen=True)
class Fate:
    """Whether it died, and if not, in how many turns of its loop it was done, and which moments it
    passed (see `Wire`).
    """

    died: bool
    steps: int
    moments: str = ""


def sweep(run: Callable[[Runtime], Awaitable[Any]]) -> Work:
    """A sweep: it is for all who are due."""

    async def work(rt: Runtime, about: About) -> None:
        del about
        await run(rt)

    return work


def caller(about: About) -> Caller:
    return Caller(UUID(about["merchant"]), False, None, frozenset({"*"}), "req_mortal")


async def collect_one(rt: Runtime, about: About) -> None:
    await payments.collect_due(rt, only=[UUID(about["payment"])])


async def refund(rt: Runtime, about: About) -> None:
    """A caller asks for all of a payment; asking again gives nothing more."""
    with suppress(BillingError):
        await refunds.create(rt, caller(about), CreateRefund(UUID(about["payment"])))


async def cancel(rt: Runtime, about: About) -> None:
    """A caller gives up on a payment that waits for its customer."""
    with suppress(BillingError):
        await payment_actions.cancel(rt, caller(about), UUID(about["payment"]))


async def begin_setup(rt: Runtime, about: About) -> None:
    cmd = CreateSetupSession(UUID(about["customer"]))
    await setup_sessions.create(rt, caller(about), cmd)


async def take(rt: Runtime, about: About) -> None:
    """What the gateway tells, taken in as it is delivered."""
    mailbox = Mailbox()
    for told in about["deliveries"]:
        body = told["body"].encode()
        delivery = Delivery("simulator", UUID(about["account"]), told["headers"], body)
        await mailbox.take(rt, delivery)


WORK: Mapping[str, Work] = {
    "renew": sweep(renewals.renew_due),
    "collect": sweep(payments.collect_due),
    "resolve": sweep(look_ups.resolve_due),
    "refunds": sweep(refunds.resolve_due),
    "setups": sweep(setup_calls.settle_due),
    "inbox": sweep(inbox_settling.settle_due),
    "advance": sweep(test_clocks.advance_all),
    "migrate": sweep(price_moves.run_due),
    "collect_one": collect_one,
    "refund": refund,
    "cancel": cancel,
    "begin_setup": begin_setup,
    "take": take,
}


class Wire:
    """Counts the moments at which the world outside can differ, and ends the process at one.

    They are before each write, and after those that decide something: a commit, or a request to the
    gateway. Between two of them nothing leaves the process, so a death at any await is one of
    these; and what was written of a transaction that is not committed yet is nothing.
    """

    def __init__(self) -> None:
        self.marks = ""
        """One letter a moment: `w` before a write, `d` before one that decides, `a` after it."""
        self.left: int | None = None

    def tap(self) -> None:
        """Count what this process writes to others, from now on."""
        for name in ("send", "sendmsg"):
            setattr(socket.socket, name, self._counted(getattr(socket.socket, name)))

    def _counted(self, write: Callable[..., int]) -> Callable[..., int]:
        def written(sock: socket.socket, data: Any, *more: Any) -> int:
            if not sock.getpeername():  # how the loop wakes itself
                return write(sock, data, *more)
            whole = b"".join(data) if isinstance(data, list | tuple) else bytes(data)
            decides = whole[:4] in HTTP or b"COMMIT" in whole
            self._pass("d" if decides else "w")
            sent = write(sock, data, *more)
            if decides:
                self._pass("a")
            return sent

        return written

    def _pass(self, mark: str) -> None:
        if self.left == len(self.marks):
            os.kill(os.getpid(), signal.SIGKILL)
        self.marks += mark


WIRE = Wire()


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


async def labour(rt: Runtime, task: Task, loop: MortalLoop) -> None:
    """Do the work once the connections are warm, counting turns and writes from here."""
    async with rt.db.begin_system() as tx:
        await tx.fetchval("SELECT 1")
    loop.turns, loop.left = 0, task.steps
    WIRE.marks, WIRE.left = "", task.moment
    for name in task.work:
        await WORK[name](rt, task.about)
    loop.left = WIRE.left = None


async def live(task: Task, settings: Settings) -> tuple[int, str]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MortalLoop)
    clock = ManualClock(datetime.fromisoformat(task.at))
    async with open_runtime(settings, clock=clock, bell=Silent()) as rt:
        await labour(rt, task, loop)
        return loop.turns, WIRE.marks


def child(task: Task, settings: Settings, out: int) -> None:
    """In the forked process: live, and say in how many turns and moments."""
    WIRE.tap()
    with asyncio.Runner(loop_factory=MortalLoop) as runner:
        lived = runner.run(live(task, settings))
    os.write(out, json.dumps(lived).encode())


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
    return Fate(False, *json.loads(words))


def main() -> None:
    """Read tasks, one a line, and answer each with its fate."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what is logged is no answer
    given = json.loads(sys.argv[1])
    for name in ("database_url", "secret_keys"):
        if name in given:
            given[name] = SecretStr(given[name])
    patience = given.pop("patience_seconds", None)
    settings = Settings(**given)
    if patience is not None:  # less than any deployment may set: nobody wants to wait for it here
        settings = settings.model_copy(update={"gateway_timeout_seconds": patience})
    for line in sys.stdin:
        fate = one_life(Task(**json.loads(line)), settings)
        answers.write(json.dumps(asdict(fate)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
