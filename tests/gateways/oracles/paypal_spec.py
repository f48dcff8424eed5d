"""PayPal's official OpenAPI files as judges of what is sent to it, and of what our fake answers.

They are read where PERENNIAL_SPECS says (by default `../shared/specs`), with the repairs that lie
beside them: as published, three of their regular expressions are invalid, and validators that
swallow this validate nothing at all. Here a pattern that cannot be compiled is an error.
Not judged: unknown properties of bodies (oracles/paypal_sdk.py judges those).
"""

import importlib.util
import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from jsonschema_rs import Draft202012, Draft202012Validator, Registry

ROOT = Path(__file__).parents[3]
SPECS = Path(os.environ.get("PERENNIAL_SPECS") or ROOT.parent / "shared" / "specs")
NAMES = (
    "checkout_orders_v2",
    "payments_payment_v2",
    "vault_payment_tokens_v3",
    "customer_disputes_v1",
    "notifications_webhooks_v1",
    "reporting_transactions_v1",
)
ABSENT = f"PayPal's OpenAPI files are not in {SPECS}: set PERENNIAL_SPECS. Nothing judges requests!"
NEWER = ("DECLINED_BY_RISK_FRAUD_FILTERS",)
"""Words that the SDK's enums have and these older files lack."""
ANNOTATIONS = ("example", "examples", "discriminator", "xml", "externalDocs", "deprecated")


def are_present() -> bool:
    return all((SPECS / "paypal" / f"{name}.json").is_file() for name in NAMES)


@cache
def load(name: str) -> dict[str, Any]:
    """One file, repaired."""
    path = SPECS / "paypal" / "repair.py"
    found = importlib.util.spec_from_file_location("paypal_repair", path)
    assert found is not None
    assert found.loader is not None
    repair = importlib.util.module_from_spec(found)
    found.loader.exec_module(repair)
    loaded: dict[str, Any] = repair.load(name)
    return loaded


def schema_of(given: Any) -> Any:
    """A schema object of OpenAPI 3.0 as JSON Schema 2020-12."""
    if isinstance(given, list):
        return [schema_of(one) for one in given]
    if not isinstance(given, dict):
        return given
    if "$ref" in given:  # OpenAPI 3.0 passes over what stands beside it
        return {"$ref": given["$ref"]}
    schema = {key: schema_of(value) for key, value in given.items() if key not in ANNOTATIONS}
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(bound), bool) and schema.pop(bound):
            schema[bound] = schema.pop(limit)
    if schema.pop("nullable", False) is True:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


@dataclass(frozen=True)
class Operation:
    """One method of one path, with what its parameters are in the request at hand."""

    template: str
    operation: dict[str, Any]
    parameters: list[dict[str, Any]]
    path: dict[str, str]


class Spec:
    """One API."""

    def __init__(self, name: str) -> None:
        self.doc = load(name)
        schemas = schema_of(self.doc["components"]["schemas"])
        self._base = f"urn:{name}"
        resource = {"components": {"schemas": schemas}}
        self._registry = Registry([(self._base, resource)], draft=Draft202012)
        self._validators: dict[str, Draft202012Validator] = {}
        self._routes = sorted(
            (template.count("{"), template, _matcher(template), operations)
            for template, operations in self.doc["paths"].items()
        )

    def find(self, method: str, path: str) -> Operation | None:
        for _, template, matcher, operations in self._routes:
            match = matcher.fullmatch(path)
            operation = operations.get(method.lower())
            if match is None or operation is None:
                continue
            given = [*operations.get("parameters", []), *operation.get("parameters", [])]
            names = re.findall(r"{([^}]+)}", template)
            parameters = [self._resolved(one) for one in given]
            return Operation(
                template, operation, parameters, dict(zip(names, match.groups(), strict=True))
            )
        return None

    def request_faults(
        self, found: Operation, query: str, headers: dict[str, str], body: bytes
    ) -> list[str]:
        asked = dict(parse_qsl(query, keep_blank_values=True))
        faults = []
        for one in found.parameters:
            name = one["name"]
            value = {
                "query": asked.get(name),
                "header": headers.get(name.lower()),
                "path": found.path.get(name),
            }[one["in"]]
            if value is None:
                faults += [f"{one['in']} {name} is missing"] if one.get("required") else []
            else:
                schema = one.get("schema", {})
                faults += self._faults(schema, _typed(schema, value), f"{one['in']} {name}")
        known = {one["name"] for one in found.parameters if one["in"] == "query"}
        faults += [f"unknown query parameter {name}" for name in asked.keys() - known]
        return faults + self._body_faults(found, headers, body)

    def _body_faults(self, found: Operation, headers: dict[str, str], body: bytes) -> list[str]:
        wanted = self._resolved(found.operation.get("requestBody") or {})
        content = wanted.get("content")
        if not body:
            return ["the body is missing"] if wanted.get("required") else []
        if not content:
            return ["there must be no body"]
        kind = headers.get("content-type", "").partition(";")[0]
        if kind not in content:
            return [f"content type {kind!r} is none of {sorted(content)}"]
        try:
            said = json.loads(body)
        except ValueError:
            return ["the body is not JSON"]
        return self._faults(content[kind]["schema"], said, "body")

    def answer_faults(self, found: Operation, status: int, body: bytes) -> list[str]:
        responses = found.operation["responses"]
        response = self._resolved(responses.get(str(status)) or responses.get("default") or {})
        content = response.get("content")
        if not body:
            return []
        if not content:
            return [] if "description" in response else [f"there is no {status} in the spec"]
        return self._faults(content["application/json"]["schema"], json.loads(body), f"{status}")

    def _faults(self, schema: dict[str, Any], value: Any, where: str) -> list[str]:
        wanted = json.dumps(schema_of(schema)).replace('"$ref": "#/', f'"$ref": "{self._base}#/')
        validator = self._validators.get(wanted)
        if validator is None:
            validator = Draft202012Validator(json.loads(wanted), registry=self._registry)
            self._validators[wanted] = validator
        return [
            f"{where} {'/'.join(map(str, error.instance_path))}: {error.message[:200]}"
            for error in validator.iter_errors(value)
            if not any(f'"{word}" is not one of' in error.message for word in NEWER)
        ]

    def _resolved(self, given: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in given:
            at: Any = self.doc
            for part in given["$ref"].removeprefix("#/").split("/"):
                at = at[part.replace("~1", "/").replace("~0", "~")]
            given = at
        return given

    def issues(self, found: Operation, status: int) -> dict[str, str]:
        """The issues that the spec knows for a status of an operation, with their sentences."""
        response = self._resolved(found.operation["responses"].get(str(status)) or {})
        content = response.get("content", {}).get("application/json", {})
        told: dict[str, str] = {}
        self._collect(content.get("schema", {}), told)
        return told

    def _collect(self, given: Any, told: dict[str, str]) -> None:
        if isinstance(given, list):
            for one in given:
                self._collect(one, told)
        elif isinstance(given, dict):
            if "$ref" in given:
                self._collect(self._resolved(given), told)
                return
            issue = given.get("issue")
            if isinstance(issue, dict) and issue.get("enum"):
                said = given.get("description")
                sentences = said.get("enum") if isinstance(said, dict) else None
                told[issue["enum"][0]] = sentences[0] if sentences else ""
            for one in given.values():
                self._collect(one, told)


def _matcher(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{[^}]+\\}", "([^/]+)", re.escape(template)))


def _typed(schema: dict[str, Any], value: str) -> Any:
    """A parameter's text as the type that its schema asks for, where that can be."""
    if schema.get("type") == "integer" and re.fullmatch(r"-?\d+", value):
        return int(value)
    if schema.get("type") == "boolean" and value in {"true", "false"}:
        return value == "true"
    return value


class Specs:
    """All of PayPal's APIs."""

    def __init__(self) -> None:
        assert are_present(), ABSENT
        self._specs = [Spec(name) for name in NAMES]

    def find(self, method: str, path: str) -> tuple[Spec, Operation] | None:
        for spec in self._specs:
            found = spec.find(method, path)
            if found is not None:
                return spec, found
        return None

    def request_faults(
        self, method: str, path: str, query: str, headers: dict[str, str], body: bytes
    ) -> list[str]:
        """What is wrong with a request; headers by lower-case name."""
        found = self.find(method, path)
        if found is None:
            return [f"{method} {quote(path)} is not in the spec"]
        return found[0].request_faults(found[1], query, headers, body)

    def answer_faults(self, method: str, path: str, status: int, body: bytes) -> list[str]:
        """What is wrong with an answer."""
        found = self.find(method, path)
        assert found is not None
        return found[0].answer_faults(found[1], status, body)

    def issues(self, method: str, path: str, status: int) -> dict[str, str]:
        found = self.find(method, path)
        assert found is not None
        return found[0].issues(found[1], status)
