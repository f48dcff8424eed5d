"""Runs programs side by side: passes on what they print, restarts some, stops all in good order."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.embedded import die_with_parent

RESTART_SECONDS_MIN: Final = 0.5
RESTART_SECONDS_MAX: Final = 30.0
HEALTHY_SECONDS: Final = 60.0
"""A program that ran this long failed anew: its pauses start small again."""
STOP_SECONDS_MAX: Final = 20.0
"""How long a program may take to finish its work when asked to stop."""
LINE_BYTES_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class Program:
    """A command to run, by the name its lines carry."""

    name: str
    command: Sequence[str]
    restarts: bool = False
    """Whether it is started again when it ends; otherwise its end ends all."""
    before: Callable[[], object] | None = None
    """Called before each start: to put back what the program needs."""


def run(programs: Sequence[Program], environment: Mapping[str, str] | None = None) -> int:
    """Run until a signal, or until a program ends that is not restarted; returns the exit code.

    SIGINT and SIGTERM ask every program to finish, and make the code 0; a second one kills.
    """
    return asyncio.run(_Supervisor(programs, {**os.environ, **(environment or {})}).run())


@dataclass(slots=True)
class _Supervisor:
    programs: Sequence[Program]
    environment: Mapping[str, str]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    hurrying: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupted)
        asked = asyncio.create_task(self.stopping.wait())
        kept = [asyncio.create_task(self._keep(program)) for program in self.programs]
        await asyncio.wait([asked, *kept], return_when=asyncio.FIRST_COMPLETED)
        codes = [task.result() for task in kept if task.done()]
        for task in (asked, *kept):
            task.cancel()
        await asyncio.gather(asked, *kept, return_exceptions=True)
        return 0 if self.stopping.is_set() else next((code for code in codes if code), 0)

    def _interrupted(self) -> None:
        (self.hurrying if self.stopping.is_set() else self.stopping).set()

    async def _keep(self, program: Program) -> int:
        """Run one program, again and again if it restarts; returns its exit code."""
        loop = asyncio.get_running_loop()
        pause = RESTART_SECONDS_MIN
        while True:
            started = loop.time()
            code = await self._once(program)
            if not program.restarts:
                return code
            if loop.time() - started > HEALTHY_SECONDS:
                pause = RESTART_SECONDS_MIN
            self._say(program.name, f"ended with code {code}; starts again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, RESTART_SECONDS_MAX)

    async def _once(self, program: Program) -> int:
        if program.before:
            program.before()
        process = await asyncio.create_subprocess_exec(
            *die_with_parent(signal.SIGTERM),
            *program.command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env={"PYTHONUNBUFFERED": "1", **self.environment},
            start_new_session=True,  # Ctrl-C is for us, who pass it on once
        )
        assert process.stdout is not None
        relay = asyncio.create_task(self._relay(program.name, process.stdout))
        try:
            return await process.wait()
        finally:
            await self._end(process)
            await asyncio.wait([relay], timeout=1)
            relay.cancel()

    async def _end(self, process: Process) -> None:
        """Ask a program to finish; kill it and its children when it does not."""
        if process.returncode is None:
            process.terminate()
            over = asyncio.create_task(process.wait())
            hurry = asyncio.create_task(self.hurrying.wait())
            await asyncio.wait(
                [over, hurry], timeout=STOP_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED
            )
            hurry.cancel()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    async def _relay(self, name: str, output: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await output.read(LINE_BYTES_MAX):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._say(name, line.decode(errors="replace"))
        if rest:
            self._say(name, rest.decode(errors="replace"))

    def _say(self, name: str, line: str) -> None:
        if len(self.programs) > 1:
            width = max(len(program.name) for program in self.programs)
            line = f"{name:<{width}} | {line}"
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
