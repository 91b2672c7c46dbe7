"""The house rules that import contracts cannot state: few files at the top, one place for each fact."""

import ast
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from typing import get_args

import pytest

import config
import connectors
import flows
from config.errors import ConfigError
from connectors.http.errors import ConnectorError, WouldWriteError
from flows.errors import FlowError
from flows.processes import DEAL_STUCK, EVENTS, FLOWS, flow_for, kind_for
from flows.rules.process.sales_process import OnEnter
from tests.places import ROOT

SOURCES = sorted(path for path in (ROOT / "flows").rglob("*.py") if "migrations" not in path.parts)


def test_few_files_lie_directly_in_flows() -> None:
    """A new file belongs into a room."""
    files = [path.name for path in (ROOT / "flows").iterdir() if path.is_file() and path.suffix != ".pyc"]
    assert len(files) <= 8, sorted(files)


def test_event_kinds_are_stated_in_one_place() -> None:
    """No module but `processes` spells an event kind: a new one is a row there and a handler."""
    spelled = {
        (path.relative_to(ROOT).as_posix(), node.value)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in EVENTS
    }
    assert {file for file, _ in spelled} == {"flows/processes.py"}
    assert {kind for _, kind in spelled} == set(EVENTS)


def test_every_event_kind_has_a_handler() -> None:
    """Each flow of the table has the logic that the table promises, and it needs no Prefect."""
    for flow in FLOWS.values():
        logic = flow.load()
        wanted = [*(("prepare", "handle") if flow.kinds else ()), *(("run",) if flow.sweeps else ())]
        assert wanted, flow.name
        for name in wanted:
            assert inspect.iscoroutinefunction(getattr(logic, name)), f"{flow.logic}.{name}"
        assert flow.ordered_as is None or flow_for(flow.ordered_as) is flow


def test_the_owner_is_told_of_every_event_given_up() -> None:
    """Every kind says what was not done, but for the one that reports just that."""
    for event in EVENTS.values():
        assert bool(event.failed) == (event.kind != DEAL_STUCK), event.kind
        assert event.raised_by, event.kind


def test_every_action_of_a_stage_has_its_event() -> None:
    """What `on_enter:` may name, and what the table says raises an event, are the same actions."""
    actions = get_args(OnEnter)
    assert {event.action for event in EVENTS.values()} - {None} == set(actions)
    assert len({kind_for(action) for action in actions}) == len(actions)


def test_rules_import_nothing_but_the_standard_library_and_pydantic() -> None:
    """Rules are pure: facts in, decisions out."""
    foreign: set[tuple[str, str]] = set()
    for path in (ROOT / "flows/rules").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                root = name.partition(".")[0]
                ours = name.startswith(("flows.rules", "flows.errors"))
                if (
                    not ours
                    and root not in sys.stdlib_module_names
                    and root not in ("pydantic", "pydantic_core")
                ):
                    foreign.add((path.relative_to(ROOT).as_posix(), name))
    assert not foreign


def _modules(package: object) -> list[object]:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")  # type: ignore[attr-defined]
    names = [m.name for m in found if ".sandbox" not in m.name and ".migrations" not in m.name]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


@pytest.mark.parametrize(
    ("package", "root"), [(flows, FlowError), (connectors, ConnectorError), (config, ConfigError)]
)
def test_errors_have_one_root_a_package(package: object, root: type[Exception]) -> None:
    """The command line catches three roots; whatever else comes is a bug and shows its trace.

    Not among them: private signals, and the refusal of a client that may only read, which must pass through every
    `except ConnectorError` of a dry run.
    """
    strangers = {
        f"{kind.__module__}.{name}"
        for module in _modules(package)
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
        and issubclass(kind, BaseException)
        and kind.__module__ == module.__name__  # type: ignore[attr-defined]
        and not name.startswith("_")
        and not issubclass(kind, (root, ConnectorError, WouldWriteError))
    }
    assert not strangers


def test_every_package_says_what_it_holds() -> None:
    """Each room has its one sentence."""
    for path in [p for top in ("flows", "connectors", "config") for p in (ROOT / top).rglob("__init__.py")]:
        if "migrations" not in path.parts:
            assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), path
    rooms = {p.parent for p in SOURCES} - {ROOT / "flows"}
    assert all((Path(room) / "__init__.py").exists() for room in rooms)
