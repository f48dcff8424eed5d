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
    style_ = style(document.branding.accent_color)
    body = template("document.html").render(
        d=data,
        w=data["words"],
        style=Markup(style_),  # noqa: S704  ours; the colour in it is six hexadecimal digits
        logo=data_url(document.branding.logo),
        link=_web_link(data["link"]),
    )
    return Page(body.encode(), policy(style_))


def policy(style: str, form_action: str = "'none'") -> str:
    """The Content-Security-Policy of a page with this style and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        f"base-uri 'none'; form-action {form_action}; frame-ancestors 'none'"
    )


def data_url(logo: Logo | None) -> str | None:
    """The picture as an address that holds it."""
    if logo is None:
        return None
    return f"data:{logo.media_type};base64,{base64.b64encode(logo.data).decode()}"


def _web_link(link: str | None) -> str | None:
    """A link only to a web page: other schemes could do something."""
    return link if link is not None and urlsplit(link).scheme in {"https", "http"} else None


def style(accent_color: str) -> str:
    """The style of documents, in the seller's colour."""
    return _style().replace("ACCENT", accent_color)


@lru_cache(maxsize=1)
def _style() -> str:
    return (TEMPLATES / "document.css").read_text("utf-8")


@lru_cache(maxsize=8)
def template(name: str) -> Template:
    """A template of ours, in which every value is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
