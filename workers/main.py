"""The arq worker: its jobs and its timetable on one screen.

The timetable is the truth's own sweep: with Redis flushed or a ring lost, everything that is due is
found within a minute. Jobs are idempotent and few; none carries data.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC
from typing import Any, ClassVar, Final, TypeAlias, cast

from arq import cron, func
from arq.connections import RedisSettings
from arq.cron import CronJob
from arq.typing import WorkerCoroutine
from arq.worker import Function

from app import log, process
from app.bell import RedisBell, deserialize, redis_settings, serialize
from app.runtime import open_runtime
from app.settings import settings
from workers import jobs

JOB_SECONDS_MAX: Final = 300
"""A killed job's name is free again after this long: short, since the sweep repeats everything."""

Job: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


async def start_up(context: dict[str, Any]) -> None:
    """Open the runtime that all jobs of this process share."""
    chosen = settings()
    log.configure(chosen.log_level, chosen.log_format, chosen.secrets)
    stack = AsyncExitStack()
    context["rt"] = await stack.enter_async_context(open_runtime(chosen, bell=RedisBell(chosen)))
    context["stack"] = stack
    process.settle()


async def shut_down(context: dict[str, Any]) -> None:
    """Close what `start_up` opened."""
    await context["stack"].aclose()


def _as_arq_knows_it(job: Job) -> WorkerCoroutine:
    """Arq's protocol asks for any further arguments; our jobs have none, and are given none."""
    return cast("WorkerCoroutine", job)


def _sweep(job: Job, seconds: set[int], minutes: set[int] | None = None) -> CronJob:
    return cron(
        _as_arq_knows_it(job),
        second=seconds,
        minute=minutes,
        timeout=JOB_SECONDS_MAX,
        keep_result=0,
        max_tries=1,
    )


class WorkerSettings:
    """What `arq workers.main.WorkerSettings` and `perennial worker` run."""

    functions: ClassVar[list[Function]] = [
        func(_as_arq_knows_it(job), keep_result=0, timeout=JOB_SECONDS_MAX, max_tries=1)
        for job in jobs.ALL
    ]
    cron_jobs: ClassVar[list[CronJob]] = [
        _sweep(jobs.renew, seconds={0, 30}),
        _sweep(jobs.finalize, seconds={5, 35}),
        _sweep(jobs.collect, seconds={10, 40}),
        _sweep(jobs.resolve, seconds={20}),
        _sweep(jobs.dun, seconds={22, 52}),
        _sweep(jobs.advance_clocks, seconds={50}),
        _sweep(jobs.migrate_prices, seconds={15, 45}),
        _sweep(jobs.settle_inbound, seconds={2, 17, 32, 47}),
        _sweep(jobs.settle_setups, seconds={12, 42}),
        _sweep(jobs.tend_methods, seconds={33}, minutes={7}),
        _sweep(jobs.poll_disputes, seconds={37}, minutes={11, 41}),
        _sweep(jobs.prefetch_taxes, seconds={25}, minutes=set(range(0, 60, 5))),
        _sweep(jobs.reconcile, seconds={45}, minutes={7, 37}),
        _sweep(jobs.number_events, seconds=set(range(0, 60, 5))),
        _sweep(jobs.deliver, seconds=set(range(2, 60, 5))),
        _sweep(jobs.tidy_webhooks, seconds={30}, minutes={27}),
        _sweep(jobs.forget, seconds={0}, minutes={17}),
    ]
    on_startup = start_up
    on_shutdown = shut_down
    redis_settings: ClassVar[RedisSettings] = redis_settings(settings())
    job_serializer = staticmethod(serialize)
    job_deserializer = staticmethod(deserialize)
    timezone = UTC
    max_jobs = 10
    poll_delay = 0.1
    allow_abort_jobs = False
    health_check_interval = 30
