"""The structure of the packages, read from the syntax tree: names, sizes, imports.

Each check is tested with invented modules first, where it must find an error.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import ccbackend
import slurm
import spool
import sweeper

MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 45
MAX_IMPORTED_MODULES = 15

MANY_IMPORTS = {
    "spool.drain.assembly": "puts the drain together: every part of it is made here",
    "spool.drain.loop": "one pass: calls every stage of the drain",
}
"""Modules that may import more of our modules than others, and why."""


class Module(NamedTuple):
    """A module of a package."""

    name: str
    lines: int
    tree: ast.Module
    source: tuple[str, ...]


def modules_of(*packages: Path) -> list[Module]:
    """Return all modules of some packages, by name."""
    return [
        _parse(path, path.relative_to(package.parent))
        for package in packages
        for path in sorted(package.rglob("*.py"))
    ]


def _parse(path: Path, relative: Path) -> Module:
    source = path.read_text()
    lines = tuple(source.splitlines())
    name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    return Module(name, len(lines), ast.parse(source), lines)


def check_class_names(modules: list[Module]) -> None:
    """Fail at the first public class whose name another one has, and name both."""
    seen: dict[str, str] = {}
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                other = seen.setdefault(node.name, module.name)
                place = f"{module.name} (line {node.lineno})"
                assert seen[node.name] is module.name, f"{node.name}: {other} and {place}"


def long_modules(modules: list[Module]) -> dict[str, int]:
    """Return the modules that have too many lines, with their number."""
    return {module.name: module.lines for module in modules if module.lines > MAX_MODULE_LINES}


def long_functions(modules: list[Module]) -> dict[str, int]:
    """Return the functions that have too many lines, without docstring and comments."""
    return {
        f"{module.name}.{function.name}": lines
        for module in modules
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := _code_lines(function, module.source)) > MAX_FUNCTION_LINES
    }


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, source: tuple[str, ...]) -> int:
    has_docstring = ast.get_docstring(function) is not None
    body = source[function.lineno - 1 : function.end_lineno]
    comments = sum(line.lstrip().startswith("#") for line in body)
    return _lines(function) - comments - (_lines(function.body[0]) if has_docstring else 0)


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def many_imports(modules: list[Module]) -> dict[str, int]:
    """Return the modules that import too many of these modules, with their number."""
    names = {module.name for module in modules}
    counts = {module.name: len({*_imported(module, names)} & names) for module in modules}
    return {name: count for name, count in counts.items() if count > MAX_IMPORTED_MODULES}


def _imported(module: Module, known: set[str]) -> Iterator[str]:
    """Yield the modules that a module imports, wherever it does so.

    `from a.b import c` imports `a.b.c` where that is a `known` module, else `a.b`.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name} imports by a relative name"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module or ""


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    """Return all modules of the project."""
    packages = (slurm, ccbackend, spool, sweeper)
    return modules_of(*(Path(package.__file__ or "").parent for package in packages))


def test_all_four_packages_are_checked(modules: list[Module]) -> None:
    """The list has packages, modules and modules of subpackages by full name, such as slurm.job."""
    names = {module.name for module in modules}

    assert {"slurm", "slurm.job", "ccbackend.client", "spool.files.run", "sweeper.plan"} <= names


def test_no_two_public_classes_share_a_name(modules: list[Module]) -> None:
    """A class name means one thing in all packages."""
    check_class_names(modules)


def test_no_module_is_too_long(modules: list[Module]) -> None:
    """A module of the project has at most 300 lines, for one subject."""
    assert {} == long_modules(modules)


def test_no_function_is_too_long(modules: list[Module]) -> None:
    """A function has at most 45 lines, without docstring and comments, to fit on a screen."""
    assert {} == long_functions(modules)


def test_only_listed_modules_import_many_others(modules: list[Module]) -> None:
    """Modules in MANY_IMPORTS, and no others, import more than 15 modules of the project."""
    assert MANY_IMPORTS.keys() == many_imports(modules).keys()


def made_up(directory: Path, **sources: str) -> list[Module]:
    """Write two packages, `one` and `two`, and return their modules; `two__deep__x` is a path."""
    for name in ("one", "two"):
        (directory / name).mkdir()
        (directory / name / "__init__.py").write_text("")
    for name, source in sources.items():
        path = directory / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    return modules_of(directory / "one", directory / "two")


@pytest.mark.parametrize(
    "second", ["class Job:\n    pass\n", "def f():\n    class Job:\n        pass\n"]
)
def test_a_second_class_of_a_name_is_found(tmp_path: Path, second: str) -> None:
    """The class may be in another package or in a function; the message names both places."""
    modules = made_up(tmp_path, one__job="class Job:\n    pass\n", two__deep__x=second)

    with pytest.raises(AssertionError, match=r"Job: one\.job and two\.deep\.x \(line "):
        check_class_names(modules)


def test_private_classes_of_the_same_name_are_accepted(tmp_path: Path) -> None:
    """Two modules each have a class `_Job`; no other module uses a private class."""
    source = "class _Job:\n    pass\n"

    check_class_names(made_up(tmp_path, one__a=source, two__b=source))


def test_a_module_of_one_line_too_many_is_found(tmp_path: Path) -> None:
    """Comments and blank lines of the module count."""
    lines = "#\n" * MAX_MODULE_LINES
    modules = made_up(tmp_path, one__a=lines, two__b=f"{lines}\n")

    assert {"two.b": MAX_MODULE_LINES + 1} == long_modules(modules)


@pytest.mark.parametrize("head", ["def f():", "async def f():", "class A:\n  def f():"])
def test_a_function_of_one_line_too_many_is_found(tmp_path: Path, head: str) -> None:
    """The first line of the function counts, its docstring does not."""
    docstring, statement = '    """Two\n    lines."""\n', "    1\n"
    allowed = f"{head}\n{docstring}{statement * (MAX_FUNCTION_LINES - 1)}"
    modules = made_up(tmp_path, one__a=allowed, two__b=allowed + statement)

    assert {"two.b.f": MAX_FUNCTION_LINES + 1} == long_functions(modules)


@pytest.mark.parametrize(
    "form", ["from two.m{0} import x", "from two import m{0}", "import two.m{0}"]
)
def test_one_import_too_many_is_found(tmp_path: Path, form: str) -> None:
    """Every form of import counts; imports from other packages do not."""
    numbers = range(MAX_IMPORTED_MODULES + 1)
    lines = ["import json", *(form.format(number) for number in numbers)]
    sources = {f"two__m{number}": "" for number in numbers}
    sources |= {"one__a": "\n".join(lines), "one__b": "\n".join(lines[:-1])}

    assert {"one.a": MAX_IMPORTED_MODULES + 1} == many_imports(made_up(tmp_path, **sources))
