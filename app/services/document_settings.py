"""How a merchant's documents look: every change is a version, so that old documents stay theirs."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import documents as rows
from app.db import views
from app.db.base import Row
from app.documents import logo as logos
from app.documents.model import Logo
from app.domain.errors import Stale
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import deeds, idempotency
from app.services.caller import Caller
from app.services.public import shown

ADDRESS: Final = ("line1", "line2", "city", "state", "postal_code", "country")
TEXTS: Final = (
    "legal_name",
    "tax_id",
    "registration_number",
    "email",
    "phone",
    "website",
    "logo_digest",
    "accent_color",
    "account_holder",
    "iban",
    "bic",
    "default_language",
)
BY_LANGUAGE: Final = ("footer", "payment_instructions")


@dataclass(frozen=True, slots=True)
class UpdateDocumentSettings:
    """Fields to change, each to its new value; texts by language are merged, None takes one out."""

    changes: Mapping[str, Any]
    logo: Logo | None = None
    expected_version: int | None = None


async def get(rt: Runtime, caller: Caller) -> dict[str, Any]:
    """The present settings as callers see them; version 0 while nothing was ever set."""
    async with rt.db.read(caller.merchant_id) as reader:
        row = await rows.settings(reader, caller.merchant_id)
        found = row and await views.one(
            reader, views.DOCUMENT_SETTINGS, caller.merchant_id, row["id"]
        )
    if found is not None:
        return shown(views.DOCUMENT_SETTINGS, found)
    nothing = initial()
    return (
        {"id": None, "object": "document_settings"}
        | {key: nothing[key] for key in (*TEXTS, *BY_LANGUAGE, "address") if key != "logo_digest"}
        | {"logo": None, "created_at": None, "version": 0}
    )


async def update(rt: Runtime, caller: Caller, cmd: UpdateDocumentSettings) -> Row:
    """Change some of the settings; documents issued before keep the old ones. Raises Stale."""
    if cmd.logo is not None:
        await asyncio.to_thread(logos.check, cmd.logo)
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        before = fields_of(await rows.settings(tx, caller.merchant_id))
        if cmd.expected_version is not None and before["version"] != cmd.expected_version:
            raise Stale(f"It has changed meanwhile: the present version is {before['version']}.")
        after = _changed(before, cmd.changes)
        if cmd.logo is not None:
            digest = hashlib.sha256(cmd.logo.data).hexdigest()
            picture = rows.Logo(digest, cmd.logo.media_type, cmd.logo.data)
            await rows.insert_logo(tx, caller.merchant_id, picture, now)
            after["logo_digest"] = digest
        settings_id: UUID = new_id()
        await rows.insert_settings(tx, caller.merchant_id, settings_id, after, now)
        changed = sorted(key for key in after if after[key] != before[key])
        await deeds.note(tx, caller, "document_settings.updated", settings_id, now, changed=changed)
        await idempotency.answered(tx, caller, show("dset", settings_id))
        row = await views.one(tx, views.DOCUMENT_SETTINGS, caller.merchant_id, settings_id)
    assert row is not None
    return row


def initial() -> dict[str, Any]:
    """The settings of a merchant that has set nothing."""
    return (
        dict.fromkeys(TEXTS)
        | {"version": 0, "address": dict.fromkeys(ADDRESS)}
        | {key: {} for key in BY_LANGUAGE}
    )


def fields_of(row: Row | None) -> dict[str, Any]:
    """The settings of a row, documents parsed."""
    if row is None:
        return initial()
    parsed = {key: orjson.loads(row[key]) for key in ("address", *BY_LANGUAGE)}
    return {key: row[key] for key in (*TEXTS, "version")} | parsed


def _changed(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    after = dict(before) | {key: value for key, value in changes.items() if key in TEXTS}
    if "address" in changes:
        after["address"] = dict.fromkeys(ADDRESS) | dict(changes["address"])
    for key in BY_LANGUAGE:
        merged = before[key] | (changes.get(key) or {})
        after[key] = {language: text for language, text in merged.items() if text is not None}
    if changes.get("logo", ...) is None:
        after["logo_digest"] = None
    return after | {"version": before["version"] + 1}
