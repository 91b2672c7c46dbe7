"""The documentation matches the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.cli.app import app
from flows.processes import FLOWS
from tests.places import ROOT


def test_every_flow_is_deployed() -> None:
    """Each flow is in prefect.yaml under its own name, by module path, in our work pool."""
    declared = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())["deployments"]
    entries = {f"{d['entrypoint'].rpartition('.')[2].replace('_', '-')}/{d['name']}": d for d in declared}
    assert set(entries) == {flow.deployment for flow in FLOWS.values()}
    for name, flow in FLOWS.items():
        entry = entries[flow.deployment]
        assert entry["entrypoint"] == f"flows.prefect_flows.{name}"
        assert entry["work_pool"]["name"] == "dealflow"
        assert "dealflow" in entry["tags"]


def test_readme_names_every_command() -> None:
    """Each command is in the README's table, and none that does not exist."""
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`dealflow ([a-z][a-z-]*(?: [a-z][a-z-]*)?)`", readme))
    wanted = set()
    for name in app:
        if name.startswith("-"):
            continue
        children = [child for child in app[name] if not child.startswith("-")]
        wanted |= {f"{name} {child}" for child in children} or {name}
    assert named == wanted


def test_readme_links_exist() -> None:
    """Every link of the README has a target."""
    readme = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    missing = [link for link in links if not link.startswith("http") and not (ROOT / link).exists()]
    assert links and not missing


@pytest.mark.parametrize("command", [[], ["inbox"], ["provision"], ["demo"], ["sandbox"]])
def test_every_command_has_help(command: list[str]) -> None:
    """--help ends with exit code 0."""
    done = subprocess.run(
        [sys.executable, "-m", "flows", *command, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "Usage: dealflow" in done.stdout


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (["nope"], 2, "Unknown command"),
        (["inbox", "list", "--limit", "many"], 2, "--limit"),
        (["gateway"], 1, "DEALFLOW_DROPBOX_SIGN_API_KEY is not set"),
        (["worker"], 1, "DEALFLOW_HUBSPOT_TOKEN is not set"),
        (["inbox", "show", "7"], 1, "there is no event 7"),
        (["proposal", "render"], 2, "--sample"),
        (["provision", "--plan", "--apply"], 2, "--plan or --apply"),
        (["inbox", "list", "--state", "bogus"], 2, "--state"),
    ],
)
def test_errors_are_one_clear_line(command: list[str], code: int, says: str, tmp_path: Path) -> None:
    """Wrong usage exits with 2, refusals with 1; the one line says what to fix."""
    done = subprocess.run(
        [sys.executable, "-m", "flows", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DEALFLOW_LOG_LEVEL": "WARNING"},
    )
    assert done.returncode == code
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr


def test_no_registry_is_named() -> None:
    """The locks carry versions and hashes, never a registry's address."""
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        assert "--hash=sha256:" in text and "://" not in text


def test_fastapi_is_bounded_for_prefect() -> None:
    """A plain install without the lock must not take a FastAPI that Prefect's server cannot start with."""
    assert '"fastapi<0.151"' in (ROOT / "pyproject.toml").read_text()
