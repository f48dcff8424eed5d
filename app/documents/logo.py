"""Which pictures may stand on a document: small PNGs, and SVGs that only draw."""

import re
import struct
from collections.abc import Iterator
from typing import Final

from lxml import etree

from app.documents import pdf
from app.documents.model import Logo
from app.domain.errors import InvalidRequest, Problem

BYTES_MAX: Final = 262_144
"""256 KiB: a logo is in every document."""
PIXELS_MAX: Final = 4_000_000
"""A few thousand bytes of PNG can unfold to gigabytes; sharper than this no logo is printed."""
ELEMENTS_MAX: Final = 2_000
PNG: Final = b"\x89PNG\r\n\x1a\n"
PNG_HEAD: Final = struct.Struct(">8sI4sII")
SVG: Final = "{http://www.w3.org/2000/svg}"
SHAPES: Final = frozenset(
    """
    svg g defs symbol title desc metadata path rect circle ellipse line polyline polygon
    linearGradient radialGradient stop clipPath mask style
    """.split()  # noqa: SIM905  one word each, read at a glance
)
LOCAL: Final = re.compile(r"url\(\s*[\"']?#")
# What would load something or run something; a backslash could hide either.
REACHING: Final = re.compile(r"url\(|@import|javascript:|\\", re.IGNORECASE)


def check(logo: Logo) -> None:
    """Refuse a picture that does not belong on a document. Raises InvalidRequest."""
    found = next(_problems(logo), None) or pdf.check_logo(logo)
    if found is not None:
        raise InvalidRequest.of([Problem(found, "logo.data")], code="invalid_logo")


def _problems(logo: Logo) -> Iterator[str]:
    if not 0 < len(logo.data) <= BYTES_MAX:
        yield f"A logo may have {BYTES_MAX} bytes."
    elif logo.media_type == "image/png":
        yield from _problems_of_png(logo.data)
    else:
        yield from _problems_of_svg(logo.data)


def _problems_of_png(data: bytes) -> Iterator[str]:
    if len(data) < PNG_HEAD.size or not data.startswith(PNG):
        yield "This is not a PNG picture."
        return
    _, _, chunk, width, height = PNG_HEAD.unpack_from(data)
    if chunk != b"IHDR":
        yield "This is not a PNG picture."
    elif not 0 < width * height <= PIXELS_MAX:
        yield f"A logo may have {PIXELS_MAX} pixels."


def _problems_of_svg(data: bytes) -> Iterator[str]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        yield "This is not an SVG picture."
        return
    if root.tag != f"{SVG}svg" or root.getroottree().docinfo.doctype:
        yield "This is not an SVG picture without a document type of its own."
    count = 0
    for element in root.iter():
        count += 1
        if isinstance(element.tag, str):
            yield from _problems_of_element(element)
    if count > ELEMENTS_MAX:
        yield f"A logo may have {ELEMENTS_MAX} elements."


def _problems_of_element(element: etree._Element) -> Iterator[str]:
    tag = str(element.tag)
    if tag.startswith(SVG) and tag.removeprefix(SVG) not in SHAPES:
        yield f"An SVG logo only draws: it cannot hold {tag.removeprefix(SVG)[:40]!r}."
    texts = [str(value) for value in element.attrib.values()]
    if tag == f"{SVG}style":
        texts.append(element.text or "")
    for name, value in element.attrib.items():
        local = etree.QName(name).localname.lower()
        if local.startswith("on") or (local == "href" and not str(value).startswith("#")):
            yield "An SVG logo cannot refer to anything outside it, nor run anything."
    if any(REACHING.search(LOCAL.sub("", value)) for value in texts):
        yield "An SVG logo cannot refer to anything outside it, nor run anything."
