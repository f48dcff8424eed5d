"""Who may call whom: the layers, the one writer of money, and no network inside a transaction."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator

from tests.architecture.code import ROOT, Module, modules, name_of

TRANSACTIONS = ("db.begin", "db.begin_system", "db.look", "db.read")
WRITER = "app.db.decisions"
SERVICES = "app.services."


def services() -> tuple[Module, ...]:
    return tuple(m for m in modules() if m.path.startswith("app/services/"))


def test_dependencies_point_inward() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as l; l()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not found.returncode, found.stdout + found.stderr


def test_only_services_record_decisions() -> None:
    others = [
        module.at(node)
        for module in modules()
        if not module.path.startswith("app/services/")
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.ImportFrom) and node.module == WRITER)
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "app.db"
            and any(alias.name == "decisions" for alias in node.names)
        )
    ]
    assert not others, f"Money rows are written by services, through record(): {others}"


def test_only_services_open_transactions() -> None:
    others = [
        module.at(node)
        for module in modules()
        if not module.path.startswith(("app/services/", "app/db/base.py"))
        for node in _transactions(module.tree)
    ]
    assert not others, f"Call a service instead: {others}"


def test_no_call_leaves_the_process_inside_a_transaction() -> None:
    """A gateway, or the bell, may take its time; a transaction must not wait for it."""
    reach = _reaching_out()
    inside = [
        f"{module.at(call)} {ast.unparse(call.func)}"
        for module in services()
        for block in _transactions(module.tree)
        for call in _calls(block)
        if _leaves(call) or _callee(module, call) in reach
    ]
    assert not inside, f"Commit first, then call: {inside}"


def test_the_check_above_sees_through_functions() -> None:
    """Were it blind, it would pass: these are known to call a gateway, through others."""
    reach = _reaching_out()
    assert {"look_ups._resolve", "look_ups.take", "payments.collect_due"} <= reach
    assert {"refunds.create", "payment_actions.cancel", "verdicts.resolve"} <= reach
    assert "refund_verdicts.resolve" in reach
    assert "payments._settle" not in reach


def _transactions(tree: ast.AST) -> Iterator[ast.AsyncWith]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith):
            opened = [item.context_expr for item in node.items]
            if any(isinstance(o, ast.Call) and _opens(name_of(o.func)) for o in opened):
                yield node


def _opens(name: str) -> bool:
    return name.endswith(TRANSACTIONS)


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _leaves(call: ast.Call) -> bool:
    """Whether the call itself goes to a gateway, to another host, or rings the bell."""
    if not isinstance(call.func, ast.Attribute):
        return False
    owner = ast.unparse(call.func.value).rpartition(".")[2].removeprefix("_")
    return owner in {"gateway", "http", "client", "bell"} or name_of(call.func).startswith("httpx.")


def _callee(module: Module, call: ast.Call) -> str:
    """`module.function` of a call to one of our services; other calls name nothing of theirs."""
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
        return f"{_short(module)}.{call.func.attr}"  # a method of what was made just now
    head, _, rest = name_of(call.func).removeprefix("self.").partition(".")
    source = _imports(module).get(head, f"{SERVICES}{_short(module)}.{head}" if not rest else "")
    return f"{source}.{rest}".removesuffix(".").removeprefix(SERVICES)


def _short(module: Module) -> str:
    return module.path.removeprefix("app/services/").removesuffix(".py")


def _imports(module: Module) -> dict[str, str]:
    """What each imported name stands for, in full."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _reaching_out() -> set[str]:
    """The functions of services that leave the process, themselves or through others."""
    called: dict[str, set[str]] = {}
    reach: set[str] = set()
    for module in services():
        for node in module.functions:
            calls = list(_calls(node))
            own = f"{_short(module)}.{node.name}"
            called[own] = called.get(own, set()) | {_callee(module, call) for call in calls}
            if any(map(_leaves, calls)):
                reach.add(own)
    grew = True
    while grew:
        more = {name for name, callees in called.items() if callees & reach} - reach
        reach |= more
        grew = bool(more)
    return reach


UPDATES_FROM_LIMITED = re.compile(
    r"UPDATE \w+(?: \w+)? SET(?:(?!WITH |\"\"\").)*?FROM \((?:(?!\"\"\").)*?SKIP LOCKED", re.DOTALL
)


def test_what_is_claimed_is_limited_before_anything_is_joined_to_it() -> None:
    """A subquery of an UPDATE that locks and limits may be run once for each row of the other side:
    each time it passes over what was just taken, and in the end more is taken than its limit. Such
    a one stands in `WITH … AS MATERIALIZED`, which is run once.
    """
    bad = "UPDATE jobs j SET taken = true FROM (SELECT id FROM jobs LIMIT 1 FOR UPDATE SKIP LOCKED)"
    assert UPDATES_FROM_LIMITED.search(bad)
    assert [each.path for each in modules() if UPDATES_FROM_LIMITED.search(each.text)] == []
