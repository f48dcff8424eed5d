"""Reading: one object, a page of them, and what they refer to, one statement a noun."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from app import ids
from app.db import views
from app.db.views import View
from app.db.views.base import Source
from app.domain.errors import InvalidRequest, NotFound
from app.runtime import Runtime
from app.services.caller import Caller
from app.services.public import shown


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects, the newest first; `next_after` is where the next page begins, if any."""

    objects: list[dict[str, Any]]
    next_after: UUID | None


def missing(view: View) -> NotFound:
    """No such object, or another merchant's: the same words for both."""
    return NotFound(f"There is no such {view.object.replace('_', ' ')}.")


async def one(
    rt: Runtime, caller: Caller, view: View, id: UUID, expand: Collection[str] = ()
) -> dict[str, Any]:
    """One object as callers see it. Raises NotFound."""
    async with rt.db.read(caller.merchant_id) as reader:
        row = await views.one(reader, view, caller.merchant_id, id)
        if row is None:
            raise missing(view)
        public = shown(view, row)
        if expand:
            await _expand(reader, caller, view, [row], [public], expand)
    return public


async def fields(rt: Runtime, caller: Caller, view: View, id: UUID) -> dict[str, Any]:
    """One object's own fields, documents parsed, for whoever changes them. Raises NotFound."""
    async with rt.db.read(caller.merchant_id) as reader:
        row = await views.one(reader, view, caller.merchant_id, id)
    if row is None:
        raise missing(view)
    return dict(row) | {"metadata": orjson.loads(row["metadata"])}


async def page(  # noqa: PLR0913  what a page is made of
    rt: Runtime,
    caller: Caller,
    view: View,
    filters: Mapping[str, Any],
    after: UUID | None,
    limit: int,
    expand: Collection[str] = (),
) -> Page:
    """Up to `limit` objects older than `after` that pass every filter, the newest first."""
    async with rt.db.read(caller.merchant_id) as reader:
        rows = await views.page(reader, view, caller.merchant_id, filters, after, limit + 1)
        more = len(rows) > limit
        rows = rows[:limit]
        public = [shown(view, row) for row in rows]
        if expand and rows:
            await _expand(reader, caller, view, rows, public, expand)
    return Page(public, rows[-1]["id"] if more else None)


async def by_public_id(rt: Runtime, caller: Caller, id: str) -> dict[str, Any]:
    """The object that `id` names, of whatever kind its prefix says."""
    prefix = id.rpartition("_")[0]
    view = views.BY_PREFIX[prefix]
    return await one(rt, caller, view, ids.parse(prefix, id))


async def _expand(
    source: Source,
    caller: Caller,
    view: View,
    rows: list[Any],
    public: list[dict[str, Any]],
    expand: Collection[str],
) -> None:
    """Put the object beside each identifier that is asked for: `customer` beside `customer_id`."""
    for name in expand:
        if name not in view.references:
            known = ", ".join(sorted(view.references)) or "nothing"
            raise InvalidRequest(
                f"A {view.object.replace('_', ' ')} can expand {known}.",
                code="not_expandable",
                param="expand",
            )
        target = views.BY_OBJECT[view.references[name]]
        wanted = {row[f"{name}_id"] for row in rows} - {None}
        found = await views.some(source, target, caller.merchant_id, list(wanted)) if wanted else []
        objects = {row["id"]: shown(target, row) for row in found}
        for row, item in zip(rows, public, strict=True):
            item[name] = objects.get(row[f"{name}_id"])
