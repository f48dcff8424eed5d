"""The source as the architecture tests read it: parsed once, by its path in the repository."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of ours: its path, text and tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def at(self, node: ast.AST) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """The Python files below `folders` (`app` and `workers` unless said otherwise)."""
    found = []
    for folder in folders or ("app", "workers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            found.append(Module(str(path.relative_to(ROOT)), text, ast.parse(text)))
    assert found, f"there is nothing in {folders}"
    return tuple(found)


def domain() -> tuple[Module, ...]:
    return tuple(m for m in modules() if m.path.startswith("app/domain/"))


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """Every text file of ours that git knows, but for what others wrote (vendored) and locks."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    foreign = ("app/api/reference/", "LICENSE", "openapi/")
    found = []
    for name in filter(None, tracked):
        path = ROOT / name
        if name.startswith(foreign) or path.suffix in (".lock", ".csv") or not path.is_file():
            continue
        raw = path.read_bytes()
        if b"\0" not in raw:
            found.append((name, raw.decode()))
    return tuple(found)


def name_of(node: ast.AST) -> str:
    """A dotted name as it is written; empty for anything else."""
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
