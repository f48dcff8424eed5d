"""Measured work runs in processes of its own, which start together when they are told to."""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

from bench.meter import Machine


@dataclass(frozen=True)
class Ran:
    """What some processes did together, from the start of all to the end of the last."""

    answers: list[dict[str, Any]]
    seconds: float
    elsewhere: float
    """The share of the machine that neither was idle nor worked for us meanwhile."""

    def total(self, name: str) -> float:
        return sum(answer[name] for answer in self.answers)

    @property
    def renewals(self) -> int:
        return int(self.total("renewals"))

    @property
    def per_second(self) -> float:
        return self.renewals / self.seconds

    def micros(self, name: str) -> float:
        """CPU time for each renewal, of `python` or `server`, in microseconds."""
        return 1e6 * self.total(f"{name}_seconds") / self.renewals


async def run(module: str, *words: str, processes: int = 1) -> Ran:
    """Start `python -m module`, several times over; when each has said it is ready, let them go."""
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        for _ in range(processes)
    ]
    for process in started:
        assert await process.stdout.readline() == b"ready\n", f"{module} did not get ready"
    machine, start = Machine(), time.perf_counter()
    for process in started:
        process.stdin.write(b"go\n")
    answers = [json.loads(await process.stdout.readline()) for process in started]
    seconds = time.perf_counter() - start
    ours = sum(answer["python_seconds"] + answer["server_seconds"] for answer in answers)
    elsewhere = machine.elsewhere(ours)
    for process in started:
        process.stdin.close()
        assert await process.wait() == 0, f"{module} failed"
    return Ran(answers, seconds, elsewhere)
