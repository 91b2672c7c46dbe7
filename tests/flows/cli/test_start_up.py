"""What the command line imports: help and the checks of the process file start without Prefect, database or HTTP."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "prefect",
    "sqlalchemy",
    "alembic",
    "httpx",
    "fastapi",
    "starlette",
    "uvicorn",
    "hubspot",
    "dropbox_sign",
    "typst",
}


def imported(*command: str, folder: Path) -> tuple[set[str], str]:
    """The names of all modules that a command imports, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flows", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^import time:[^|]*\|[^|]*\|\s*(\S+)$", done.stderr, re.M)), done.stdout


@pytest.mark.parametrize(
    ("command", "also_without"),
    [
        (["--help"], {"pydantic", "yaml", "flows.rules", "flows.cli.process", "flows.cli.inbox", "asyncio"}),
        (["--version"], {"pydantic", "yaml", "flows.rules"}),
        (["inbox", "--help"], {"pydantic", "yaml", "flows.rules", "flows.cli.process"}),
        (["inbox", "list", "--help"], {"pydantic", "yaml", "flows.rules", "flows.cli.process"}),
        (["process", "--help"], {"pydantic", "yaml", "flows.rules", "flows.cli.inbox"}),
        (["provision", "--help"], {"pydantic", "yaml", "flows.rules"}),
        (["process", "lint"], {"flows.cli.inbox", "flows.services", "flows.ledger"}),
        (["process", "lint", "--json"], {"flows.cli.inbox", "flows.services", "flows.ledger"}),
        (["process", "schema"], {"flows.services", "flows.ledger"}),
    ],
)
def test_a_light_command_imports_nothing_heavy(
    command: list[str], also_without: set[str], tmp_path: Path
) -> None:
    """Each of these answers at once: what it does not use is not imported."""
    found, printed = imported(*command, folder=tmp_path)
    assert printed and {"cyclopts", "flows.cli.app"} <= found
    assert {name for name in found if name.partition(".")[0] in HEAVY} == set()
    assert found & also_without == set()


def test_every_group_is_imported_only_when_it_is_named(tmp_path: Path) -> None:
    """Help lists the groups with their help texts; none of their modules is imported for it."""
    found, printed = imported("--help", folder=tmp_path)
    groups = {"effects", "follow_ups", "guard", "inbox", "process", "proposal"}
    assert {f"flows.cli.{name}" for name in groups} & found == set()
    for name in groups:
        assert re.search(rf"│ {name.replace('_', '-')} +\w", printed), name
