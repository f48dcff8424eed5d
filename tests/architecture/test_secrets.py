"""Values that hold a secret do not show it when they are printed, whoever prints them."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

import app
from app.settings import Settings

SECRET_NAME = re.compile(r"(?:.*_)?(?:secret|token|credentials|password)|secret_return_url")
HELD_SAFELY = re.compile(r"\bSecretStr\b")
"""A type that shows nothing of itself."""


def _secrets() -> Iterator[tuple[str, dataclasses.Field[object]]]:
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if module.name.startswith(("app.simulator", "app.testing")) or "__main__" in module.name:
            continue
        held = importlib.import_module(module.name)
        for name, kind in inspect.getmembers(held, dataclasses.is_dataclass):
            if inspect.isclass(kind) and kind.__module__ == module.name:
                for field in dataclasses.fields(kind):
                    text = str(field.type)
                    if SECRET_NAME.fullmatch(field.name) and ("str" in text or "bytes" in text):
                        yield f"{module.name}.{name}.{field.name}", field


FIELDS = dict(_secrets())


def test_secrets_are_found() -> None:
    assert len(FIELDS) > 10


@pytest.mark.parametrize("place", FIELDS)
def test_a_secret_is_not_in_what_is_printed(place: str) -> None:
    field = FIELDS[place]
    assert not field.repr or HELD_SAFELY.search(str(field.type))


def test_a_setting_that_is_wrong_is_named_and_not_shown() -> None:
    with pytest.raises(ValidationError) as told:
        Settings(tax_engine_secret="too-short-a-secret")
    assert "tax_engine_secret" in str(told.value)
    assert "too-short" not in str(told.value)
