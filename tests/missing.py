"""Which test files need a library that Debian does not have, found by following their imports."""

import ast
import os
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent


@cache
def list_missing(path: Path) -> frozenset[str]:
    """Names in ``ZLH_TEST_WITHOUT`` that a test file needs, or a folder for its conftest."""
    without = frozenset(os.environ.get("ZLH_TEST_WITHOUT", "").split())
    if not without:
        return without
    return without & _list_libraries(path / "conftest.py" if path.is_dir() else path, frozenset())


def _list_libraries(path: Path, seen: frozenset[Path]) -> frozenset[str]:
    if path.suffix != ".py" or path in seen or not path.exists():
        return frozenset()
    names = _list_imports(path)
    ours = [file for name in names if name.split(".")[0] == "tests" for file in _find_files(name)]
    conftests = [folder / "conftest.py" for folder in path.parents if TESTS in folder.parents]
    beyond = (_list_libraries(file, seen | {path}) for file in {*ours, *conftests})
    return frozenset(name.split(".")[0] for name in names).union(*beyond)


def _find_files(module: str) -> tuple[Path, Path]:
    stem = TESTS.parent.joinpath(*module.split("."))
    return stem.with_suffix(".py"), stem / "__init__.py"


@cache
def _list_imports(path: Path) -> frozenset[str]:
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)
