"""Who may know whom, and how large a thing may grow: the design's table, held against every file."""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
OURS = ("zlh_hooks", "agent_plugin", "hookscripts")
MAY_KNOW = {
    "zlh_hooks.domain": ("zlh_hooks.domain",),
    "zlh_hooks.application": ("zlh_hooks.domain", "zlh_hooks.application"),
    "zlh_hooks.adapters": (
        "zlh_hooks.domain",
        "zlh_hooks.application.ports",
        "zlh_hooks.adapters",
        "agent_plugin.wire",
        "agent_plugin.report_wire",
        "agent_plugin.agreement",
        "agent_plugin.refusal",
        "agent_plugin.archive",
        "agent_plugin.fault",
        "agent_plugin.slot",
        "agent_plugin.desired",
        "agent_plugin.desired_wire",
        "agent_plugin.opening",
        "agent_plugin.patch_wanted",
        "agent_plugin.wish",
    ),
    "zlh_hooks.simulation": ("zlh_hooks.domain", "zlh_hooks.application.ports", "zlh_hooks.simulation"),
    "zlh_hooks.settings": ("zlh_hooks.domain", "zlh_hooks.notice_settings", "zlh_hooks.dead_man_settings"),
    "zlh_hooks.dead_man_settings": ("zlh_hooks.domain", "zlh_hooks.notice_settings"),
    "zlh_hooks.notice_settings": ("zlh_hooks.domain",),
    "zlh_hooks.cli": (
        "zlh_hooks.cli",
        "zlh_hooks.wiring",
        "zlh_hooks.downtime_wiring",
        "zlh_hooks.intake_wiring",
        "zlh_hooks.dead_man_wiring",
        "zlh_hooks.launch_wiring",
        "zlh_hooks.settings",
        "zlh_hooks.application",
        "zlh_hooks.domain",
    ),
    "agent_plugin": ("agent_plugin",),
    "hookscripts": ("hookscripts",),
}
"""Room -> what its files may import of this project. A file in none of them (the wiring) may know everyone."""
LIBRARIES = {
    "zlh_hooks.domain": ("pydantic", "dateutil.rrule", "packaging"),
    "zlh_hooks.application": (),
    "zlh_hooks.simulation": (),
}
"""Room -> the only third parties that its files may import."""
PRODUCTS = (
    {"proxmoxer", "requests"},
    {"requests"},
    {"sqlalchemy"},
    {"jinja2", "markupsafe"},
    {"markdown_it"},
    {"prometheus_client"},
    {"tuf", "securesystemslib", "cryptography"},
)
"""What one adapter file may wrap; proxmoxer raises the errors of requests, by which it speaks, and what Jinja prints
unescaped is a type of markupsafe; tuf signs with securesystemslib's keys, which are cryptography's."""
FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "common", "base", "core", "manager", "handler"}
MAY_CATCH_EVERYTHING = {"zlh_hooks/application/side_by_side.py"}
"""A bug stops the run; but whoever tells people that nobody is at work must tell of bugs too."""
MARKS = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
LONGEST_FILE, LONGEST_TEST, LONGEST_FUNCTION = 400, 700, 40


def find_files(*rooms: str) -> Mapping[str, str]:
    """Path within the repository -> source, of every Python file in these rooms."""
    paths = (path for room in rooms for path in sorted((REPOSITORY / room).rglob("*")) if is_python(path))
    return {str(path.relative_to(REPOSITORY)): path.read_text() for path in paths}


def is_python(path: Path) -> bool:
    if not path.is_file() or path.suffix not in ("", ".py"):
        return False
    return path.suffix == ".py" or re.match(rb"#!.*python", path.read_bytes()) is not None


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(source: str) -> Iterator[str]:
    """Dotted names as imported, ``from a.b import c`` as ``a.b.c``; a relative import begins with a dot."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def lies_in(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def find_import_offences(path: str, source: str) -> list[str]:
    rooms = [room for room in MAY_KNOW if lies_in(module_of(path), (room,))]
    offences = [f"{path} imports {name}" for name in imports_of(source) for room in rooms if not may_import(room, name)]
    wrapped = {name.partition(".")[0] for name in imports_of(source)} & set().union(*PRODUCTS)
    if "zlh_hooks.adapters" in rooms and not any(wrapped <= product for product in (set(), *PRODUCTS)):
        offences.append(f"{path} wraps {' and '.join(sorted(wrapped))}")
    return offences


def may_import(room: str, name: str) -> bool:
    if lies_in(name, OURS) or name.startswith("."):
        return lies_in(name, MAY_KNOW[room])
    return room not in LIBRARIES or lies_in(name, tuple(sys.stdlib_module_names)) or lies_in(name, LIBRARIES[room])


def find_cycle(files: Mapping[str, str]) -> list[str]:
    """Modules that import each other in a ring; empty if there is none."""
    modules = {module_of(path) for path in files}
    graph = {module_of(path): {nearest(name, modules) for name in imports_of(files[path])} - {None} for path in files}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def nearest(name: str, modules: set[str]) -> str | None:
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def find_habit_offences(path: str, source: str) -> list[str]:
    tree = ast.parse(source)
    offences = [f"{path} is named {part}" for part in Path(path).with_suffix("").parts if part in FORBIDDEN_NAMES]
    offences += [f"{path} says {mark}" for mark in MARKS.findall(source)]
    caught = [node.lineno for node in ast.walk(tree) if catches_everything(node)]
    offences += [f"{path}:{line} catches everything" for line in caught if path not in MAY_CATCH_EVERYTHING]
    offences += [f"{path}:{node.lineno} {node.name} is too long" for node in ast.walk(tree) if is_too_long(node)]
    return offences + ([f"{path} is too long"] if len(source.splitlines()) > LONGEST_FILE else [])


def catches_everything(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    named = ast.walk(node.type) if node.type else [ast.Name("Exception")]
    return any(isinstance(name, ast.Name) and name.id in ("Exception", "BaseException") for name in named)


def is_too_long(node: ast.AST) -> bool:
    is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return is_function and node.end_lineno - node.lineno >= LONGEST_FUNCTION


# --- the rules, on every file


def test_every_room_imports_only_what_the_table_allows() -> None:
    files = find_files(*OURS)
    assert {
        "zlh_hooks/domain/entry.py",
        "zlh_hooks/application/ports.py",
        "zlh_hooks/adapters/ledger.py",
    } <= files.keys()
    assert [offence for path, source in files.items() for offence in find_import_offences(path, source)] == []


def test_no_two_files_import_each_other_not_even_in_a_ring() -> None:
    assert find_cycle(find_files(*OURS)) == []


def test_files_and_functions_stay_short_and_say_what_they_do() -> None:
    files = find_files(*OURS)
    assert [offence for path, source in files.items() for offence in find_habit_offences(path, source)] == []


def test_files_of_tests_stay_readable() -> None:
    files = find_files("tests", "benchmarks")
    assert [path for path, source in files.items() if len(source.splitlines()) > LONGEST_TEST] == []


# --- the rules bite


@pytest.mark.parametrize(
    ("path", "line", "offence"),
    [
        ("zlh_hooks/domain/x.py", "from zlh_hooks.application.ports import Clock", "imports zlh_hooks.application.ports.Clock"),
        ("zlh_hooks/domain/x.py", "from zlh_hooks import application", "imports zlh_hooks.application"),
        ("zlh_hooks/domain/x.py", "import zlh_hooks", "imports zlh_hooks"),
        ("zlh_hooks/domain/x.py", "from dateutil.tz import UTC", "imports dateutil.tz.UTC"),
        ("zlh_hooks/domain/x.py", "def read():\n    import requests", "imports requests"),
        ("zlh_hooks/domain/x.py", "from ..adapters import ledger", "imports ..adapters.ledger"),
        ("zlh_hooks/application/x.py", "from zlh_hooks.adapters.ledger import SqlLedger", "imports zlh_hooks.adapters.ledger.SqlLedger"),
        ("zlh_hooks/application/x.py", "import sqlalchemy", "imports sqlalchemy"),
        ("zlh_hooks/adapters/x.py", "from zlh_hooks.application.rollout import Rollout", "imports zlh_hooks.application.rollout.Rollout"),
        ("zlh_hooks/adapters/x.py", "import zlh_hooks.settings", "imports zlh_hooks.settings"),
        ("zlh_hooks/adapters/x.py", "import requests\nfrom sqlalchemy import select", "wraps requests and sqlalchemy"),
        ("zlh_hooks/simulation/x.py", "import requests", "imports requests"),
        ("zlh_hooks/simulation/x.py", "from zlh_hooks.application.engine import Engine", "imports zlh_hooks.application.engine.Engine"),
        ("zlh_hooks/settings.py", "from zlh_hooks import wiring", "imports zlh_hooks.wiring"),
        ("zlh_hooks/notice_settings.py", "import zlh_hooks.settings", "imports zlh_hooks.settings"),
        ("zlh_hooks/cli/x.py", "from zlh_hooks.adapters.clock import SystemClock", "imports zlh_hooks.adapters.clock.SystemClock"),
        ("zlh_hooks/adapters/x.py", "import agent_plugin.trust", "imports agent_plugin.trust"),
        ("zlh_hooks/application/x.py", "import agent_plugin.desired", "imports agent_plugin.desired"),
        ("agent_plugin/x.py", "from zlh_hooks.domain.tag import OURS", "imports zlh_hooks.domain.tag.OURS"),
        ("hookscripts/x", "import agent_plugin.wire", "imports agent_plugin.wire"),
    ],
)  # fmt: skip
def test_an_import_against_the_table_is_found(path: str, line: str, offence: str) -> None:
    assert find_import_offences(path, line) == [f"{path} {offence}"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("zlh_hooks/domain/x.py", "from zlh_hooks.domain import tag\nfrom dateutil.rrule import rrulestr\nimport re"),
        ("zlh_hooks/application/x.py", "from zlh_hooks.application import ports\nimport zlh_hooks.domain.tag"),
        ("zlh_hooks/adapters/x.py", "from zlh_hooks.application import ports\nimport proxmoxer, requests, tenacity"),
        ("zlh_hooks/cli/x.py", "import typer\nfrom zlh_hooks import wiring"),
        ("zlh_hooks/wiring.py", "from zlh_hooks.adapters.ledger import SqlLedger\nimport zlh_hooks.settings"),
    ],
)
def test_an_import_by_the_table_is_not_found(path: str, line: str) -> None:
    assert find_import_offences(path, line) == []


def test_a_ring_of_imports_is_found() -> None:
    ring = {
        "zlh_hooks/domain/a.py": "from zlh_hooks.domain import b",
        "zlh_hooks/domain/b.py": "def late():\n    from zlh_hooks.domain.c import value",
        "zlh_hooks/domain/c.py": "import zlh_hooks.domain.a",
    }
    assert set(find_cycle(ring)) == {f"zlh_hooks.domain.{letter}" for letter in "abc"}
    assert find_cycle({path: ring[path] for path in list(ring)[:2]}) == []


@pytest.mark.parametrize(
    ("path", "source", "offence"),
    [
        ("zlh_hooks/domain/utils.py", "", " is named utils"),
        ("zlh_hooks/core/x.py", "", " is named core"),
        ("zlh_hooks/x.py", "# TODO later", " says TODO"),
        ("zlh_hooks/x.py", "try:\n    pass\nexcept Exception:\n    pass", ":3 catches everything"),
        ("zlh_hooks/x.py", "try:\n    pass\nexcept (OSError, BaseException):\n    pass", ":3 catches everything"),
        ("zlh_hooks/x.py", "try:\n    pass\nexcept:\n    pass", ":3 catches everything"),
        ("zlh_hooks/x.py", "def go():\n" + "    pass\n" * 40, ":1 go is too long"),
        ("zlh_hooks/x.py", "pass\n" * 401, " is too long"),
    ],
)
def test_a_bad_habit_is_found(path: str, source: str, offence: str) -> None:
    assert find_habit_offences(path, source) == [f"{path}{offence}"]


def test_a_function_of_forty_lines_in_a_file_of_four_hundred_is_long_enough_and_allowed() -> None:
    function = "def go():\n" + "    pass\n" * 39
    assert find_habit_offences("zlh_hooks/x.py", function + "pass\n" * 360) == []
