"""What the documents say is there: commands, files, settings, events. Nothing of one machine."""

import re
from enum import StrEnum

import pytest
import typer.main

from app.cli import app
from app.domain.event import Type
from app.domain.policy import DAYS_MAX, DEFAULT, TYPES
from app.domain.subscription import TRANSITIONS, Happening, Status
from app.settings import Settings
from tests.architecture.code import ROOT, texts

DOCUMENTS = {name: text for name, text in texts() if name.endswith(".md")}
LOCKS = sorted(ROOT.glob("requirements*.lock"))
FOREIGN = re.compile(r"://|@ *file|--(?:extra-)?index-url|--find-links|^/|\s/\w", re.MULTILINE)
HOME = re.compile(r"/(?:home|root|Users)/\w")


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def code_of(text: str) -> str:
    """What stands in code: blocks and spans."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documented_make_targets_exist(name: str) -> None:
    said = set(re.findall(r"^make ([a-z-]+)", code_of(DOCUMENTS[name]), re.MULTILINE))
    assert said <= targets(), f"{name} speaks of {said - targets()}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documented_commands_exist(name: str) -> None:
    command = typer.main.get_command(app)
    known = set(getattr(command, "commands", ()))
    code = code_of(DOCUMENTS[name])
    said = set(re.findall(r"(?:^|\$\()perennial ([a-z]+)", code, re.MULTILINE))
    assert said <= known, f"{name} speaks of {said - known}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", DOCUMENTS[name])
    broken = [to for to in links if "://" not in to and not (folder / to).exists()]
    assert not broken, f"{name}: {broken}"


def test_every_setting_is_documented_with_its_default() -> None:
    readme = DOCUMENTS["README.md"]
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^|`]+)`? \|", readme, re.MULTILINE))
    settings = {}
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        said = "none" if shown is None else str(shown)
        settings[str(field.validation_alias or f"PERENNIAL_{name.upper()}")] = said
    assert {name: said.strip() for name, said in rows.items()} == settings


def test_every_event_is_documented() -> None:
    rows = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", DOCUMENTS["docs/events.md"], re.MULTILINE)
    assert sorted(rows) == sorted(Type)


def test_every_billing_setting_is_documented_with_its_values_the_default_first() -> None:
    page = DOCUMENTS["docs/subscriptions.md"].partition("## Settings")[2]
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert set(rows) == set(TYPES)
    for name, kind in TYPES.items():
        default = getattr(DEFAULT, name)
        if not issubclass(kind, StrEnum):
            assert rows[name] == f"{default}; up to {DAYS_MAX[name]}"
            continue
        values = re.findall(r"`([a-z0-9_]+)`", rows[name])
        assert values[0] == default, name
        assert sorted(values) == sorted(kind), name


def test_every_status_of_a_subscription_is_documented_with_what_may_follow() -> None:
    page = DOCUMENTS["docs/subscriptions.md"].partition("## States")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| [^|]+ \|([^|]*)\|", page, re.MULTILINE))
    follow: dict[str, set[str]] = {status: set() for status in Status}
    for (before, happening), after in TRANSITIONS.items():
        if after is not before and happening is not Happening.AWAIT_PAYMENT:  # within its creation
            follow[before].add(after)
    assert {name: set(re.findall(r"`(\w+)`", told)) for name, told in rows.items()} == follow


def test_decisions_are_numbered_and_say_why() -> None:
    found = [name for name in DOCUMENTS if name.startswith("docs/decisions/")]
    numbers = [re.findall(r"/(\d{4})-[a-z0-9-]+\.md$", name) for name in found]
    assert all(numbers), f"Number it: {found}"
    assert len({number for [number] in numbers}) == len(found), "Two have the same number."
    for name in found:
        headings = re.findall(r"^## (\w+)", DOCUMENTS[name], re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], name


def test_recipes_are_short() -> None:
    recipes = re.split(r"^### ", DOCUMENTS["CONTRIBUTING.md"], flags=re.MULTILINE)[1:]
    long = [r.partition("\n")[0] for r in recipes if len(r.strip().splitlines()) > 11]
    assert recipes
    assert not long, f"At most ten lines: {long}"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_name_packages_and_hashes_only(lock) -> None:
    found = FOREIGN.findall(lock.read_text())
    assert not found, f"make lock writes none of this: {found[:5]}"


def test_nothing_speaks_of_one_machine() -> None:
    homes = [name for name, text in texts() if HOME.search(text)]
    assert not homes, f"A path of one machine: {homes}"
