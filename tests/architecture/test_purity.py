"""What decisions may not do, and where time, chance and the network may be met at all."""

import ast
import re

from tests.architecture.code import domain, modules, name_of

WALL_CLOCKS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
}
MADE_BY_CHANCE = {"random", "uuid_utils", "uuid_utils.compat"}
CLOCK, IDS = "app/clock.py", "app/ids.py"
SQL_CLOCK = re.compile(r"\b(now|clock_timestamp|statement_timestamp)\(\)|\bCURRENT_TIMESTAMP\b")


def test_the_domain_never_waits() -> None:
    waits = [
        module.at(node)
        for module in domain()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith | ast.AsyncFor)
    ]
    assert not waits, f"A decision is synchronous: {waits}"


def test_no_float_comes_near_money() -> None:
    floats = [
        module.at(node)
        for module in domain()
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id in {"float", "round"})
        or (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
    ]
    assert not floats, f"Money is whole minor units; use Money.share or Money.split: {floats}"


def test_the_domain_imports_the_standard_library_and_itself() -> None:
    foreign = [
        f"{module.at(node)} {name}"
        for module in domain()
        for node in ast.walk(module.tree)
        for name in _imported(node)
        if name.split(".")[0] == "app" and not name.startswith("app.domain")
    ]
    assert not foreign, f"Ask for it as an argument: {foreign}"


def test_only_the_clock_knows_what_time_it_is() -> None:
    told = [
        f"{module.at(node)} {name_of(node)}"
        for module in modules()
        if module.path != CLOCK
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and name_of(node) in WALL_CLOCKS
    ]
    assert not told, f"Ask the Clock: {told}"


def test_the_database_is_told_what_time_it_is() -> None:
    asked = [
        module.at(node)
        for module in modules()
        if module.path.startswith("app/db/")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if SQL_CLOCK.search(node.value)
    ]
    assert not asked, f"Pass `now` as a parameter: {asked}"


def test_identifiers_are_made_in_one_place() -> None:
    made = [
        f"{module.at(node)} {name}"
        for module in modules()
        if module.path != IDS
        for node in ast.walk(module.tree)
        for name in _imported(node)
        if name in MADE_BY_CHANCE or name in {"uuid.uuid4", "uuid.uuid1"}
    ]
    assert not made, f"Use app.ids, or secrets for keys: {made}"


def _imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(source), names=names):
            return [source, *(f"{source}.{alias.name}" for alias in names)]
        case _:
            return []
