"""Stripe's official OpenAPI file as the judge of what is sent to it, and of what our fake answers.

It is read where PERENNIAL_SPECS says (see specs.py): an excerpt, of API version 2023-08-16. What
has come since is judged by Stripe's own SDK (oracles/stripe_types.py). A form's fields are read
back into what they meant, guided by the schema; a value that cannot be what the schema wants stays
text, and so is found.
"""

import re
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from jsonschema_rs import Draft202012, Draft202012Validator, Registry

from tests.gateways import specs

FILE = ("stripe", "stripe-openapi-2023-08-16.trimmed.json")
FORM = "application/x-www-form-urlencoded"
BASE = "urn:stripe"
ANNOTATIONS = ("example", "discriminator", "xml", "externalDocs", "deprecated")


def is_present() -> bool:
    return specs.have(*FILE)


@cache
def spec() -> "Spec":
    return Spec(specs.load(*FILE))


def schema_of(given: Any) -> Any:
    """A schema object of OpenAPI 3.0 as JSON Schema 2020-12."""
    if isinstance(given, list):
        return [schema_of(one) for one in given]
    if not isinstance(given, dict):
        return given
    if "$ref" in given:  # OpenAPI 3.0 passes over what stands beside it
        return {"$ref": given["$ref"].replace("#/", f"{BASE}#/", 1)}
    schema = {key: schema_of(value) for key, value in given.items() if key not in ANNOTATIONS}
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(bound), bool) and schema.pop(bound):
            schema[bound] = schema.pop(limit)
    if schema.pop("nullable", False) is True:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def nested(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """A form's fields as what they meant: `a[b]=c` and `a[0]=c` are an object and a list."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        head, *rest = name.split("[")
        keys = [head, *(part.removesuffix("]") for part in rest)]
        place = root
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        last = keys[-1] or str(len(place))  # a[]=c is a list too
        assert last not in place, f"{name} is given twice"
        place[last] = value
    return {key: _listed(value) for key, value in root.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(inner) for key, inner in value.items()}


class Spec:
    """The API, as far as the excerpt goes."""

    def __init__(self, doc: dict[str, Any]) -> None:
        self._paths = doc["paths"]
        self._schemas = schema_of(doc["components"]["schemas"])
        resource = {"components": {"schemas": self._schemas}}
        self._registry = Registry([(BASE, resource)], draft=Draft202012)
        self._validators: dict[str, Draft202012Validator] = {}
        self._routes = [
            (re.compile(re.sub(r"{[^}]+}", "([^/]+)", template)), template)
            for template in sorted(self._paths, key=lambda one: one.count("{"))
        ]

    def request_faults(
        self, method: str, path: str, query: str, content_type: str, body: bytes
    ) -> list[str]:
        """What the file would not allow of a request; nothing if all is well."""
        template = next((t for rx, t in self._routes if rx.fullmatch(path)), None)
        operation = self._paths.get(template, {}).get(method.lower())
        if operation is None:
            return [f"{method} {path} is not in the file"]
        asked = nested(parse_qsl(query, keep_blank_values=True))
        faults = self._query_faults(operation, asked)
        form = operation.get("requestBody", {}).get("content", {}).get(FORM)
        wanted = form["schema"] if form else {}
        if not body:
            missing = wanted.get("required", [])
            return faults + [f"{name} is missing" for name in missing]
        if not wanted.get("properties"):
            return [*faults, "there must be no body"]
        if content_type.partition(";")[0] != FORM:
            return [*faults, f"content type {content_type!r}"]
        said = nested(parse_qsl(body.decode(), keep_blank_values=True))
        return faults + self._faults(f"{method} {template}", schema_of(wanted), said)

    def _query_faults(self, operation: dict[str, Any], asked: dict[str, Any]) -> list[str]:
        known = {p["name"]: p for p in operation.get("parameters", []) if p["in"] == "query"}
        faults = [f"unknown query parameter {name}" for name in asked.keys() - known.keys()]
        for name, parameter in known.items():
            if name in asked:
                schema = schema_of(parameter["schema"])
                where = f"{operation['operationId']} {name}"
                faults += self._faults(where, schema, asked[name])
            elif parameter.get("required"):
                faults.append(f"query {name} is missing")
        return faults

    def answer_faults(self, name: str, value: Any) -> list[str]:
        """What of an answer is not as the file describes the object `name`."""
        schema = {"$ref": f"{BASE}#/components/schemas/{name}"}
        return [
            f"{'/'.join(map(str, error.instance_path))}: {error.message[:200]}"
            for error in self._validator(name, schema).iter_errors(value)
        ]

    def _faults(self, where: str, schema: dict[str, Any], value: Any) -> list[str]:
        meant = self._meant(schema, value)
        return [
            f"{where}: {'/'.join(map(str, error.instance_path))}: {error.message[:200]}"
            for error in self._validator(where, schema).iter_errors(meant)
        ]

    def _validator(self, name: str, schema: dict[str, Any]) -> Draft202012Validator:
        if name not in self._validators:
            self._validators[name] = Draft202012Validator(schema, registry=self._registry)
        return self._validators[name]

    def _meant(self, schema: dict[str, Any], value: Any) -> Any:
        """Text as what the schema takes it for."""
        schema = self._resolved(schema)
        if "anyOf" in schema:
            return self._any_of(schema["anyOf"], value)
        if isinstance(value, dict):
            known, others = schema.get("properties", {}), schema.get("additionalProperties")
            others = others if isinstance(others, dict) else {}
            return {key: self._meant(known.get(key, others), one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._meant(schema.get("items", {}), one) for one in value]
        match schema.get("type"):
            case "integer" if re.fullmatch(r"-?\d+", value):
                return int(value)
            case "boolean" if value in ("true", "false"):
                return value == "true"
            case _:
                return value

    def _any_of(self, schemas: list[dict[str, Any]], value: Any) -> Any:
        meant = [self._meant(one, value) for one in schemas]
        for one, schema in zip(meant, schemas, strict=True):
            if Draft202012Validator(schema, registry=self._registry).is_valid(one):
                return one
        return meant[0]

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        return schema
