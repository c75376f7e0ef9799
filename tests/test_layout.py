"""Layout rules of sources and tests: SQL, folder and file sizes, class and module names."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for package in (*ROOT.glob("libs/*/src"), *ROOT.glob("services/*/src"), ROOT / "cli" / "src")
    for path in package.rglob("*.py")
)
TESTS = sorted(
    path
    for folder in (*ROOT.glob("libs/*/tests"), *ROOT.glob("services/*/tests"), ROOT / "cli/tests")
    for path in folder.rglob("*.py")
)
TESTS += sorted((ROOT / "tests").rglob("*.py"))
PROGRAMS = sorted(
    path for folder in ("benchmarks", "tools") for path in ROOT.glob(f"{folder}/**/*.py")
)
PAGE = sorted(
    path
    for folder in ("src", "tests")
    for suffix in ("ts", "tsx", "css")
    for path in (ROOT / "web" / folder).rglob(f"*.{suffix}")
    if "node_modules" not in path.parts and path.name != "schema.d.ts"  # Generated.
)

MAX_MODULES_PER_FOLDER = 14
MAX_LINES_PER_FILE = 300

# Upper case, as all SQL here is written; prose is not.
SQL = re.compile(
    r"\b(SELECT\s[^;]*\sFROM|INSERT\s+INTO|UPDATE\s+[\w.\"{}]+\s+(AS\s+\w+\s+)?SET|DELETE\s+FROM"
    r"|(CREATE|ALTER|DROP)\s+(TABLE|INDEX|SCHEMA|DATABASE|ROLE|VIEW|TYPE|EXTENSION)"
    r"|TRUNCATE\s+\w|COPY\s+\w+\s+(FROM|TO)|SELECT\s+(pg_|set_config|nextval|1\b))"
)
SQL_FOLDERS = {"storage", "operations"}
SQL_MODULES = re.compile(r"(repository|_sql)$")

FORBIDDEN_CLASSES = {"Parts", "Asker", "Held"}

# Roles: a module of that name has the same purpose in every package that has one.
ROLES = {
    *("__init__", "__main__", "app", "wiring", "settings", "errors", "metrics", "routes", "health"),
    *("command", "arguments", "formatting", "repository", "queries", "query"),
    *("request", "requests", "response", "responses", "schemas", "fields", "router", "endpoint"),
    *("client", "caller"),
    # The same use case or operation in two packages, or of two things.
    *(
        "api_key_routes",
        "assistant_routes",
        "session_routes",
        "submit_message",
        "export",
        "erase_user",
    ),
    *("decide", "state", "verify", "restore", "turn_routes", "body_limits", "request_parsing"),
    *("database", "database_errors", "examples", "progress"),
}


@pytest.mark.parametrize("rule", ["sql", "folders", "files", "classes", "names"])
def test_the_source_tree_follows_the_layout_rule(rule: str) -> None:
    violations = list(RULES[rule]())
    assert not violations, "\n" + "\n".join(violations)


def sql_outside_storage() -> Iterator[str]:
    """SQL stands in `storage/`, in `operations/` and in modules named `*repository` or `*_sql`."""
    for path in SOURCES:
        if not SQL_FOLDERS.isdisjoint(path.parts) or SQL_MODULES.search(path.stem):
            continue
        for line, text in _strings(ast.parse(path.read_text())):
            if found := SQL.search(text):
                yield f"{_name(path)}:{line}: SQL outside storage: {found[0][:40]!r}"


def folders_with_too_many_modules() -> Iterator[str]:
    modules: defaultdict[Path, int] = defaultdict(int)
    for path in SOURCES + PROGRAMS + PAGE:
        modules[path.parent] += path.stem != "__init__" and not path.stem.endswith(".test")
    for folder, count in modules.items():
        if count > MAX_MODULES_PER_FOLDER:
            yield f"{_name(folder)}: {count} modules, at most {MAX_MODULES_PER_FOLDER}"


def files_with_too_many_lines() -> Iterator[str]:
    for path in (ROOT / "conftest.py", *SOURCES, *TESTS, *PROGRAMS, *PAGE):
        lines = len(path.read_text().splitlines())
        if lines > MAX_LINES_PER_FILE:
            yield f"{_name(path)}: {lines} lines, at most {MAX_LINES_PER_FILE}"


def forbidden_classes() -> Iterator[str]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name in FORBIDDEN_CLASSES:
                yield f"{_name(path)}:{node.lineno}: class {node.name}"


def module_names_with_two_meanings() -> Iterator[str]:
    """A name that several modules have is that of a role; any other name is unique."""
    modules: defaultdict[str, list[str]] = defaultdict(list)
    for path in SOURCES:
        modules[path.stem].append(_name(path))
    for stem, paths in sorted(modules.items()):
        if len(paths) > 1 and stem not in ROLES:
            yield f"{stem}: {', '.join(paths)}"


RULES = {
    "sql": sql_outside_storage,
    "folders": folders_with_too_many_modules,
    "files": files_with_too_many_lines,
    "classes": forbidden_classes,
    "names": module_names_with_two_meanings,
}


def _strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The string constants of a module except its docstrings, with their line numbers."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text), lineno=line) if id(node) not in docstrings:
                yield line, text


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))
