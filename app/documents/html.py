"""Documents as a page: no script, nothing from elsewhere, and a policy that forbids both."""

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from app.documents import sheet, text
from app.documents.model import Document, Logo

TEMPLATES: Final = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the Content-Security-Policy it is to be sent with."""

    body: bytes
    policy: str


def render(document: Document) -> Page:
    """The document as a page in its language."""
    document = text.clean(document)
    data = sheet.build(document)
    style = _style().replace("ACCENT", document.branding.accent_color)
    body = _template().render(
        d=data,
        w=data["words"],
        style=Markup(style),  # noqa: S704  ours; the colour in it is six hexadecimal digits
        logo=_data_url(document.branding.logo),
        link=_web_link(data["link"]),
    )
    return Page(body.encode(), _policy(style))


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _data_url(logo: Logo | None) -> str | None:
    if logo is None:
        return None
    return f"data:{logo.media_type};base64,{base64.b64encode(logo.data).decode()}"


def _web_link(link: str | None) -> str | None:
    """A link only to a web page: other schemes could do something."""
    return link if link is not None and urlsplit(link).scheme in {"https", "http"} else None


@lru_cache(maxsize=1)
def _style() -> str:
    return (TEMPLATES / "document.css").read_text("utf-8")


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("document.html")
