"""The documentation matches the code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from config.settings import PREFIX, Settings
from flows.cli.app import app
from flows.processes import FLOWS
from tests.places import ROOT

SCHEMA = json.loads((ROOT / "config/sales_process.schema.json").read_text("utf-8"))
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(
            path
            for room in (".github", "config", "connectors", "deployments", "flows", "tests")
            for path in (ROOT / room).rglob("*.md")
        ),
    ]
)
"""All our Markdown; what environments and runs leave in other folders is not ours."""


def _text(path: Path) -> str:
    """A document without its fenced blocks: a comment in a shell example is no heading."""
    return re.sub(r"^ *```.*?^ *```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def _anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives a document's headings."""
    headings = re.findall(r"^#+ +(.+?) *$", _text(path), flags=re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.replace(" ", "-") for text in words}


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


def test_the_table_of_commands_is_complete() -> None:
    """Each command is in the table of flows/README.md, and none that does not exist."""
    document = (ROOT / "flows/README.md").read_text()
    table = document.split("\n## Commands\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`dealflow ([a-z][a-z-]*(?: [a-z][a-z-]*)?)`", table))
    wanted = set()
    for name in app:
        if name.startswith("-"):
            continue
        children = [child for child in app[name] if not child.startswith("-")]
        wanted |= {f"{name} {child}" for child in children} or {name}
    assert named == wanted


def test_no_document_names_a_command_that_does_not_exist() -> None:
    """What documents quote as `dealflow ...` can be typed."""
    groups = {name: [child for child in app[name] if not child.startswith("-")] for name in app}
    wrong = [
        f"{path.relative_to(ROOT)}: dealflow {first} {second}"
        for path in DOCUMENTS
        for first, second in re.findall(r"`dealflow ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", _text(path))
        if first not in groups or (second and groups[first] and second not in groups[first])
    ]
    assert not wrong


def test_documents_stand_where_they_are_read() -> None:
    """The front door and the room documents behind it; the links below are checked for these at least."""
    wanted = {
        "README.md",
        "CHANGELOG.md",
        ".github/CONTRIBUTING.md",
        "config/README.md",
        "connectors/README.md",
        "connectors/dropbox_sign/README.md",
        "connectors/hubspot/README.md",
        "connectors/mail/README.md",
        "connectors/sandbox/README.md",
        "connectors/sandbox/dropbox_sign_server/README.md",
        "connectors/sandbox/hubspot_server/README.md",
        "deployments/README.md",
        "flows/README.md",
        "tests/proof/README.md",
    }
    assert {str(path.relative_to(ROOT)) for path in DOCUMENTS} >= wanted


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """No link of a document leads nowhere: the file is there, and so is the heading."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _text(path)):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        there = target.exists() and target.is_relative_to(ROOT.resolve())
        if not there or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize(
    "document",
    [
        "config/README.md",
        "deployments/README.md",
        "flows/README.md",
        "tests/proof/README.md",
        "connectors/README.md",
        ".github/CONTRIBUTING.md",
        "CHANGELOG.md",
    ],
)
def test_the_front_door_leads_to_each_document(document: str) -> None:
    """What the README does not hold is one link away."""
    assert re.search(rf"\]\({re.escape(document)}(?:#[\w-]+)?\)", (ROOT / "README.md").read_text("utf-8"))


def test_the_readme_is_short_and_has_one_picture() -> None:
    """The front door: at most 6,000 characters, and a picture of a run under 200 kB, a real PNG."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme) <= 6_000
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", readme)
    content = (ROOT / picture).read_bytes()
    assert content.startswith(b"\x89PNG\r\n") and 10_000 < len(content) < 200_000


def _evidence_keys() -> list[str]:
    """The key by which each kind of evidence is known in the process file."""
    parts = SCHEMA["$defs"]
    kinds = [
        parts[kind["$ref"].rpartition("/")[2]]
        for kind in parts["Criterion"]["properties"]["evidence"]["oneOf"]
    ]
    return [kind["required"][0] for kind in kinds]


def test_the_reference_has_every_kind_of_evidence() -> None:
    """A kind of evidence that config/README.md does not list does not exist for whoever writes a process."""
    reference = (ROOT / "config/README.md").read_text("utf-8")
    table = reference.split("\n### Evidence\n")[1].split("\n### ")[0]
    kinds = _evidence_keys()
    assert len(kinds) >= 14
    assert [kind for kind in kinds if f"`{{{kind}: " not in table] == []


def test_the_reference_has_every_key_of_the_process_file() -> None:
    """Keys, guard modes, actions, roles and outcomes: whatever the schema allows is mentioned in config/README.md."""
    reference = (ROOT / "config/README.md").read_text("utf-8")
    parts = SCHEMA["$defs"]
    stage = parts["Stage"]["properties"]
    wanted = {*SCHEMA["properties"], *stage, *stage["mode"]["enum"], *stage["on_enter"]["items"]["enum"]}
    for part in parts.values():
        wanted |= set(part.get("properties", {}))
    for field in ("kind", "supplied_by"):
        wanted |= set(parts["Criterion"]["properties"][field]["enum"])
    missing = [word for word in sorted(wanted) if not re.search(rf"\b{re.escape(word)}\b", reference)]
    assert not missing


def test_the_reference_has_every_rule_of_lint() -> None:
    """Each rule that some bad process breaks stands in the table of config/README.md, and no other."""
    reference = (ROOT / "config/README.md").read_text("utf-8")
    table = reference.split("\n### Lint\n")[1].split("\n### ")[0]
    listed = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", "\n".join(x for x in table.splitlines() if "|" in x)))
    first_lines = [
        path.read_text("utf-8").splitlines()[0] for path in (ROOT / "tests/data/bad").glob("*.yaml")
    ]
    planted = {line.removeprefix("# planted: ") for line in first_lines} - {"invalid"}
    of_history = {"history-not-required", "history-never-decides"}
    assert listed == planted | of_history


def test_every_setting_is_documented() -> None:
    """Each setting is in env.example, and its group in config/README.md; documents name no setting that is none."""
    example = (ROOT / "config/env.example").read_text("utf-8")
    reference = (ROOT / "config/README.md").read_text("utf-8").split("\n## Settings\n")[1]
    groups = [name.rstrip("*") for name in re.findall(r"`(DEALFLOW_[A-Z_]+\*?)`", reference)]
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert [name for name in sorted(settings) if f"{name}=" not in example] == []
    assert [name for name in sorted(settings) if not name.startswith(tuple(groups))] == []
    named = {
        name for path in DOCUMENTS for name in re.findall(r"\bDEALFLOW_[A-Z_]*[A-Z]\b(?![*_])", _text(path))
    }
    ours = {name for name in named if not name.startswith(("DEALFLOW_TEST_", "DEALFLOW_SHARED"))}
    assert not [name for name in sorted(ours) if not {name, name.removesuffix("_FILE")} & settings]


def test_every_schedule_is_documented() -> None:
    """Each flow with a schedule is in the table of deployments/README.md."""
    declared = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())["deployments"]
    document = (ROOT / "deployments/README.md").read_text("utf-8")
    table = document.split("\n### Schedules\n")[1].split("\n### ")[0]
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", table, flags=re.MULTILINE))
    assert listed == {d["name"] for d in declared if d.get("schedules")}


def test_every_flow_is_on_the_front_door() -> None:
    """The README's path names each flow once, and none that does not exist."""
    readme = (ROOT / "README.md").read_text("utf-8")
    path = readme.split("\n## The path of a lead\n")[1].split("\n## ")[0]
    listed = re.findall(r"^\| [^|]+ \| `([a-z_]+)` \|", path, flags=re.MULTILINE)
    assert sorted(listed) == sorted(FLOWS)


def test_every_metric_is_documented() -> None:
    """Each metric of the gateway is named where an operator reads what to watch."""
    source = (ROOT / "flows/gateway/app.py").read_text("utf-8")
    metrics = set(re.findall(r"# TYPE (dealflow_[a-z_]+)", source))
    document = (ROOT / "deployments/README.md").read_text("utf-8")
    assert metrics and not [name for name in metrics if name not in document]


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
