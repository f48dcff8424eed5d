"""The least an endpoint can do: FastAPI, one row through bare asyncpg, JSON. Measured against."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import orjson
from fastapi import FastAPI, Response

from app import ids
from app.db import views
from app.db.views.base import _one

POOL = 10
SQL = _one(views.SUBSCRIPTION)
MERCHANT = UUID(os.environ["BENCH_MERCHANT"])


@asynccontextmanager
async def lifespan(service: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], max_size=POOL) as pool:
        service.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/livez")
async def livez() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/v1/subscriptions/{id}")
async def subscription(id: str) -> Response:
    async with app.state.pool.acquire() as connection:
        row = await connection.fetchrow(SQL, MERCHANT, ids.parse("sub", id))
    return Response(orjson.dumps(dict(row), default=str), media_type="application/json")
