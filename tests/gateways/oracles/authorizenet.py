"""What Authorize.net's own schema says about a JSON request or answer.

The judge is the official Python bindings of AnetApiSchema.xsd (PyPI `authorizenet`), which are not
on the path of our tests: only the process of the fake finds them, in `.venv/oracles`.

The bindings alone would pass an element in the wrong place or one that does not exist: they were
loosened with wildcards after they were generated. But each element in them still knows its line in
the schema, and within a sequence that is its place. So order and names are read off those lines,
and what is left (required elements, types, lengths, enumerations, patterns) is asked of the
bindings. The real server answers a wrong place with E00003 just as well.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final
from xml.sax.saxutils import escape

logging.getLogger("pyxb").setLevel(logging.CRITICAL)

import pyxb  # noqa: E402  after its logger was silenced
from authorizenet import apicontractsv1 as schema  # noqa: E402
from pyxb.binding.content import AutomatonConfiguration  # noqa: E402

AutomatonConfiguration.PermittedNondeterminism = 10_000  # the wildcards make for many readings

NAMESPACE: Final = "AnetApi/xml/v1/schema/AnetApiSchema.xsd"
DETAIL_CHARS: Final = 150
EXCERPT: Final = 2
EXCERPTS_MAX: Final = 5
ATTRIBUTES: Final = re.compile(r".*Specified")
"""`settlementTimeUTCSpecified` and the like: the server's serializer adds them to answers."""
HUNDREDTHS: Final = re.compile(r"\d+\.\d{2}")
AMOUNTS: Final = frozenset({"amount", "originalAuthAmount"})


def refusals(request: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with a request; empty when the server could read it.

    Stricter than the schema in one thing: amounts are text with two decimals. The schema lets
    `12.345` pass, and a number may be written in more than one way.
    """
    if len(request) != 1:
        return ["a request has one root"]
    ((root, body),) = request.items()
    element = schema.Namespace.categoryMap("elementBinding").get(root)
    if element is None or not root.endswith("Request"):
        return [f"{root}: no such request"]
    found = [*misplaced(root, element.typeDefinition(), body), *inexact(root, body)]
    return found + invalid(f"<{root} xmlns='{NAMESPACE}'>{written(body)}</{root}>")


def flaws(name: str, answer: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with an answer of the type `name`; its elements may come in any
    order in JSON, and lists come without the element that holds them in XML.
    """
    element = schema.Namespace.categoryMap("elementBinding").get(name)
    if element is None:
        return [f"{name}: no such answer"]
    kind = element.typeDefinition()
    found = list(unknown(name, kind, answer))
    for part in excerpts(answer):
        found += invalid(f"<{name} xmlns='{NAMESPACE}'>{arranged(kind, part)}</{name}>")
    return found


def excerpts(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The answer with its long lists a little at a time: because of their wildcards, the bindings
    lose themselves in long ones. First, last and some between: entries of a list are alike.
    """
    longest = max((len(v) for v in answer.values() if isinstance(v, list)), default=0)
    step = max(EXCERPT, longest // EXCERPTS_MAX)
    for start in {*range(0, max(longest, 1), step), max(0, longest - EXCERPT)}:
        yield {
            name: part[start : start + EXCERPT] if isinstance(part, list) else part
            for name, part in answer.items()
        }


def misplaced(path: str, kind: Any, value: Any) -> Iterator[str]:
    """Elements that do not exist, or come after one that the schema puts later."""
    if not isinstance(value, Mapping):
        return
    places = sequence(kind)
    names, last = list(places), -1
    for name, part in value.items():
        if name not in places:
            yield f"{path}: unknown element {name}"
            continue
        place = names.index(name)
        if place < last:
            yield f"{path}: {name} must come before {names[last]}"
        last = max(last, place)
        for each in part if isinstance(part, list) else [part]:
            yield from misplaced(f"{path}.{name}", places[name], each)


def inexact(path: str, value: Any) -> Iterator[str]:
    """Amounts that are not text with two decimals."""
    for name, part in value.items() if isinstance(value, Mapping) else ():
        for each in part if isinstance(part, list) else [part]:
            yield from inexact(f"{path}.{name}", each)
            if name in AMOUNTS and not (isinstance(each, str) and HUNDREDTHS.fullmatch(each)):
                yield f"{path}.{name}: {each!r} is no text with two decimals"


def unknown(path: str, kind: Any, value: Any) -> Iterator[str]:
    """Elements of an answer that do not exist."""
    if not isinstance(value, Mapping):
        return
    places = sequence(kind)
    for name, part in value.items():
        if ATTRIBUTES.fullmatch(name):
            continue
        if name not in places:
            yield f"{path}: unknown element {name}"
            continue
        inner = items_of(places[name]) if isinstance(part, list) else None
        for each in part if isinstance(part, list) else [part]:
            yield from unknown(f"{path}.{name}", inner[1] if inner else places[name], each)


@cache
def sequence(kind: Any) -> dict[str, Any]:
    """The elements of a type and their types, in the schema's order; those of its base first."""
    if not hasattr(kind, "_ElementMap"):
        return {}
    lineage = [c for c in reversed(kind.__mro__) if "_ElementMap" in vars(c)]
    found: dict[str, Any] = {}
    for each in lineage:
        own = [
            (place(use), key.localName(), use.elementBinding().typeDefinition())
            for key, use in vars(each)["_ElementMap"].items()
            if key.localName() not in found
        ]
        found.update((name, inner) for _, name, inner in sorted(own, key=lambda one: one[0]))
    return found


def place(use: Any) -> tuple[int, int]:
    """Where in the schema an element stands."""
    location = use.elementBinding().xsdLocation() or use.xsdLocation()
    return location.lineNumber, location.columnNumber


def items_of(kind: Any) -> tuple[str, Any] | None:
    """The one element, and its type, that a list type holds; None if it is no list type."""
    parts = sequence(kind)
    return next(iter(parts.items())) if len(parts) == 1 else None


def written(value: Any) -> str:
    """A request's JSON as XML, in the order it came."""
    match value:
        case Mapping():
            return "".join(
                f"<{name}>{written(each)}</{name}>"
                for name, part in value.items()
                for each in (part if isinstance(part, list) else [part])
            )
        case bool():
            return "true" if value else "false"
        case None:
            return ""
        case _:
            return escape(str(value))


def arranged(kind: Any, value: Any) -> str:
    """An answer's JSON as XML, in the schema's order, with what holds the lists put back."""
    if not isinstance(value, Mapping):
        return written(value)
    parts = []
    for name, inner in sequence(kind).items():
        if name not in value:
            continue
        part, held = value[name], items_of(inner)
        if isinstance(part, list) and held is not None:
            whole = "".join(f"<{held[0]}>{arranged(held[1], x)}</{held[0]}>" for x in part)
            parts.append(f"<{name}>{whole}</{name}>")
            continue
        each_part = part if isinstance(part, list) else [part]
        parts += [f"<{name}>{arranged(inner, each)}</{name}>" for each in each_part]
    return "".join(parts)


def invalid(xml: str) -> list[str]:
    """What the bindings say of it; never more than the start, which may hold a value."""
    try:
        schema.CreateFromDocument(f"<?xml version='1.0' encoding='utf-8'?>{xml}")
    except pyxb.PyXBException as error:
        return [f"{type(error).__name__}: {str(error)[:DETAIL_CHARS]}"]
    return []
