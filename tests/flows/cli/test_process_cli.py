"""`dealflow process`: what it prints, what it writes, and when it fails."""

import json
import re
from pathlib import Path

import pytest

import config.settings
from config.files import read_yaml
from flows.cli.app import run
from tests.places import DATA

CONFIG = Path(config.settings.__file__).parent
SHIPPED = CONFIG / "sales_process.yaml"
WARNING_ONLY, BROKEN = DATA / "bad/no_help_placeholder.yaml", DATA / "bad/trap_declined.yaml"


def lint(*arguments: str | Path) -> int:
    return run(["process", "lint", *map(str, arguments)])


def test_shipped_processes_pass_strict(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to fix in what we ship; exit code 0."""
    assert lint(SHIPPED, *CONFIG.glob("examples/*.yaml"), "--strict") == 0
    assert capsys.readouterr().out == "nothing to fix\n"


def test_without_a_file_the_one_in_force_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file that the worker would take."""
    monkeypatch.setenv("DEALFLOW_PROCESS_FILE", str(BROKEN))
    assert lint() == 1
    assert "trap" in capsys.readouterr().out


def test_warnings_fail_only_when_strict(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning is shown with file, line, place, reason and a better wording; --strict makes it fail."""
    assert lint(WARNING_ONLY) == 0
    shown = capsys.readouterr().out
    lines = WARNING_ONLY.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.endswith("# here"))
    assert shown.startswith(f"{WARNING_ONLY}:{line}: warning: 'TBD' is no help to the buyer")
    assert "\n    at stages.offer.help [no-help]\n    better: " in shown
    assert lint(WARNING_ONLY, "--strict") == 1
    assert capsys.readouterr().err == "dealflow: 0 error(s), 1 warning(s)\n"


def test_what_goes_wrong_is_told_as_a_story(capsys: pytest.CaptureFixture[str]) -> None:
    """Step by step what happens to a deal, each on a line of its own; in JSON as a list."""
    assert lint(BROKEN) == 1
    shown = capsys.readouterr().out.splitlines()
    at = shown.index("    1. A new deal stands in Need.")
    assert shown[at + 2] == (
        "    3. A person moves it to Contract, with everything that Offer asks for; on entry dealflow sends "
        "the contract for signature, once."
    )
    assert shown[at + 3] == "    4. The contract is declined: dealflow moves the deal to Support."
    assert shown[at + 4] == "    5. There it ends: nothing comes after it but lost."
    assert lint(BROKEN, "--json") == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert len(row["story"]) == 5


def test_every_planted_fault_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """All bad processes in one go: each is named with the line that is marked in it, and the count is right."""
    files = sorted((DATA / "bad").glob("*.yaml"))
    assert lint(*files) == 1
    out, err = capsys.readouterr()
    for file in files:
        texts = file.read_text(encoding="utf-8").splitlines()
        line = next(n for n, text in enumerate(texts, 1) if text.endswith("# here"))
        rule = texts[0].removeprefix("# planted: ")
        assert re.search(rf"^{re.escape(str(file))}:{line}: \w+: .*\n    at .* \[{rule}\]$", out, re.M), (
            file.name
        )
    found = re.findall(r"^\S+:\d+: (error|warning): ", out, re.M)
    assert err == f"dealflow: {found.count('error')} error(s), {found.count('warning')} warning(s)\n"


def test_one_bad_file_does_not_end_the_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Not there, not YAML, no process: each is a finding with its line, and the files after it are checked too."""
    gone = tmp_path / "gone.yaml"
    bad = [gone, DATA / "bad/invalid_yaml.yaml", DATA / "bad/invalid_move.yaml", BROKEN]
    assert lint("--json", *bad) == 1
    out, err = capsys.readouterr()
    found = {row["file"]: row for row in json.loads(out)}
    assert set(found) == set(map(str, bad))
    assert [found[str(f)]["rule"] for f in bad[:3]] == ["invalid"] * 3
    for file in bad[1:3]:
        text = file.read_text().splitlines()[found[str(file)]["line"] - 1]
        assert text.endswith("# here")
    assert found[str(gone)]["line"] is None and "cannot be read" in found[str(gone)]["reason"]
    assert found[str(bad[2])]["place"] == "signature_outcomes.declined.move_to"
    assert "there is no stage 'nowhere'" in found[str(bad[2])]["reason"]
    assert err.count("\n") == 1


def test_json_is_json_when_nothing_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty list, exit code 0."""
    assert lint(SHIPPED, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed is what is checked in."""
    assert run(["process", "schema"]) == 0
    assert capsys.readouterr().out == (CONFIG / "sales_process.schema.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["diagram", "handbook"])
def test_pictures_and_books_are_written(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the file that is named, else of the one in force; a file that is no process is refused in one line."""
    out = tmp_path / "out"
    assert run(["process", kind, str(CONFIG / "examples/five_step.yaml"), "--out", str(out)]) == 0
    assert "Sign and first payment" in out.read_text(encoding="utf-8")
    assert run(["process", kind, "--out", str(out)]) == 0
    assert read_yaml(SHIPPED)["name"] in out.read_text(encoding="utf-8")
    capsys.readouterr()
    assert run(["process", kind, str(DATA / "bad/invalid_move.yaml"), "--out", str(out)]) == 1
    assert "there is no stage 'nowhere'" in capsys.readouterr().err


def test_call_notes_are_printed_to_paste(capsys: pytest.CaptureFixture[str]) -> None:
    """The empty form, and nothing else; an unknown name is told those that there are."""
    file = str(CONFIG / "examples/complex_sale.yaml")
    assert run(["process", "call-notes", "demo", file]) == 0
    assert capsys.readouterr().out == (
        "Call notes: demo\n\nBefore the call\nTheir own case:\nWho will be there:\n"
        "\nAfter the call\nSolved:\nNot solved:\nNext step:\n"
    )
    assert run(["process", "call-notes", "dance", file]) == 1
    assert capsys.readouterr().err == "dealflow: there are no call notes 'dance': there are discovery, demo\n"
    assert run(["process", "call-notes", "demo"]) == 1
    assert "the process has none" in capsys.readouterr().err


def test_history_asks_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ledger without closed deals has no opinion; one that cannot be opened is told in one line."""
    monkeypatch.setenv("DEALFLOW_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/ledger.db")
    assert lint(SHIPPED, "--history", "--strict") == 0
    assert (tmp_path / "ledger.db").exists()
    monkeypatch.setenv("DEALFLOW_DATABASE_URL", f"sqlite+aiosqlite:///{SHIPPED}")
    capsys.readouterr()
    assert lint(SHIPPED, "--history") == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
