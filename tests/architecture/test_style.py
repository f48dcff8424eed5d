"""How the code reads: size, words, limits. Each failure message says what to do."""

import ast
import re

from tests.architecture.code import Function, modules, name_of, texts

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 500
LONGER: dict[str, tuple[int, str]] = {}
"""Longer files: how long they may be, and why splitting them would make them worse."""
UNENDING = {
    "app/cli/import_file.py": "ends with the file",
    "app/cli/supervise.py": "a supervisor's loop is its program's life",
    "app/services/test_clocks.py": "ends with its clock's target, ADVANCE_MAX away at most",
}
"""Loops without a count, and what ends them."""
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|HA" r"CK)\b|# *X" r"XX\b")
LIMITERS = {"timeout", "Semaphore", "sleep", "BoundedSemaphore"}
LIMITS = re.compile(r"(^|_)(timeout|limit|retries|attempts_max)(_|$)")


def test_functions_fit_in_one_look() -> None:
    long = [
        f"{module.at(node)} {node.name}: {length} lines"
        for module in modules()
        for node in module.functions
        if (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long, "Split along a decision, not at a line number:\n" + "\n".join(long)


def test_files_fit_in_the_head() -> None:
    big = {m.path: m.lines for m in modules() if m.lines > FILE_LINES_MAX}
    wild = [path for path, lines in big.items() if lines > LONGER.get(path, (0, ""))[0]]
    assert not wild, f"Find the second noun hiding in: {wild}"
    assert not LONGER.keys() - big.keys(), "A file shrank: take it off the list of longer ones."


def test_every_module_says_what_lives_there() -> None:
    mute = [m.path for m in modules() if m.text.strip() and not ast.get_docstring(m.tree)]
    assert not mute, f"Start with one sentence: {mute}"


def test_every_public_function_says_what_it_promises() -> None:
    mute = [
        f"{module.at(node)} {node.name}"
        for module in modules()
        for node in module.tree.body
        if isinstance(node, Function) and not node.name.startswith("_")
        if not ast.get_docstring(node) and len(node.body) > 1  # one statement speaks for itself
    ]
    assert not mute, "Say in one line what it promises:\n" + "\n".join(mute)


def test_every_public_class_says_what_it_is() -> None:
    mute = [
        f"{module.at(node)} {node.name}"
        for module in modules()
        if not module.path.startswith("app/api/")  # there, the fields are the documentation
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        if not ast.get_docstring(node)
    ]
    assert not mute, "Say in one line what it is:\n" + "\n".join(mute)


def test_nothing_is_left_unfinished() -> None:
    left = [
        f"{name}:{number}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not left, f"Finish it, or write it down where work is planned: {left}"


def test_every_loop_has_a_budget() -> None:
    loops = {
        module.path
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.While) and isinstance(node.test, ast.Constant)
    }
    assert not loops - UNENDING.keys(), f"Count the rounds: {loops - UNENDING.keys()}"
    assert not UNENDING.keys() - loops, "A loop has a budget now: take it off the list."


def test_every_limit_has_a_name() -> None:
    bare = [
        f"{module.at(node)} {ast.unparse(node)[:60]}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and any(map(_is_bare, _limits(node)))
    ]
    assert not bare, "Name it, with a unit and a sentence why:\n" + "\n".join(bare)


def test_every_query_is_limited_by_a_name() -> None:
    bare = [
        f"{module.at(node)} {found[0]}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if (found := re.search(r"\bLIMIT (?!1\b)\d+", node.value))
    ]
    assert not bare, "Name the limit:\n" + "\n".join(bare)


def _limits(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call that bound something."""
    named = [k.value for k in call.keywords if k.arg and LIMITS.search(k.arg)]
    limiter = name_of(call.func).rpartition(".")[2] in LIMITERS
    return named + (call.args[:1] if limiter else [])


def _is_bare(value: ast.expr) -> bool:
    number = isinstance(value, ast.Constant) and isinstance(value.value, int | float)
    return number and not isinstance(value.value, bool) and value.value > 1
