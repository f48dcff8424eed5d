"""Documents as PDF/A-3b, by Typst. The same document gives the same bytes.

The template gets its data as JSON and places it as content, so nothing that a caller wrote is ever
read as markup. Only the bundled fonts are used, wherever the service runs.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import typst

from app import log
from app.documents import sheet, text
from app.documents.model import Document, Logo

TEMPLATES: Final = Path(__file__).with_name("templates")
DOCUMENT, PICTURE = "document.typ", "picture.typ"
STANDARD: Final = "a-3b"
FORMATS: Final = {"image/png": "png", "image/svg+xml": "svg"}

logger = log.get(__name__)


def render(document: Document, attachment: bytes | None = None) -> bytes:
    """The document as PDF; `attachment` is its XML, embedded as the same invoice for machines.

    Blocks for some milliseconds: call it in a thread.
    """
    document = text.clean(document)
    data = sheet.build(document)
    data["heading"] = " ".join(filter(None, (data["title"], document.number)))
    data = text.printable(data)
    data["logo"] = _logo(document.branding.logo)
    data["attachment"] = None if attachment is None else attachment.decode()
    at = int(document.issued_at.timestamp())
    try:
        return _compile(DOCUMENT, data, at)
    except typst.TypstError as error:
        # Marks that no font joins to the letter before them: they go, the letters stay.
        logger.warning("document_text_simplified", number=document.number, reason=error.message)
        kept = {key: data[key] for key in ("logo", "attachment")}
        return _compile(DOCUMENT, text.plain(data | dict.fromkeys(kept)) | kept, at)


def check_logo(logo: Logo) -> str | None:
    """What keeps a picture from being printed; None when it can be."""
    try:
        _compile(PICTURE, _logo(logo), 0)
    except typst.TypstError as error:
        return str(error.message)
    return None


def _logo(logo: Logo | None) -> dict[str, Any] | None:
    if logo is None:
        return None
    return {"format": FORMATS[logo.media_type], "data": list(logo.data)}


def _compile(template: str, data: Any, at: int) -> bytes:
    return typst.compile(
        TEMPLATES / template,
        root=TEMPLATES,
        font_paths=_fonts(),
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(data)},
        pdf_standards=[STANDARD],
        timestamp=at,
    )


@lru_cache(maxsize=1)
def _fonts() -> typst.Fonts:
    return typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(text.FONTS)]
    )
