"""`dealflow process`: lint, schema, diagram, handbook, call notes and backtest of a sales process file."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter, validators

from flows.cli.output import run_async
from flows.errors import FlowError

if TYPE_CHECKING:
    from flows.rules.lint.finding import Severity
    from flows.rules.lint.lint import History
    from flows.rules.process.error import Place
    from flows.rules.process.sales_process import SalesProcess

process_app = App(name="process")


class LintFailed(FlowError):
    """At least one finding that counts. The text says how many."""


class NoSuchForm(FlowError):
    """The process has no call notes of that name. The text says which it has."""


@dataclass(frozen=True)
class Line:
    """A finding with where it stands in its file. `line` counts from 1; None when the file cannot be read."""

    file: str
    line: int | None
    place: str
    rule: str
    severity: "Severity"
    reason: str
    example: str
    story: tuple[str, ...] = ()


@process_app.command(name="lint")
def process_lint(
    *files: Path,
    strict: Annotated[bool, Parameter(help="Warnings fail too.")] = False,
    history: Annotated[bool, Parameter(help="Also ask the closed deals that the ledger mirrors.")] = False,
    as_json: Annotated[bool, Parameter(name="--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Check process files: required, factual, inspectable, buyer-centric; and that every deal can still be won.

    Exit code 1 when there are errors; with --strict also when there are warnings.

    Parameters
    ----------
    files
        The files to check; else the one in force.
    """
    from config.settings import load_settings

    found: list[Line] = []
    for file in files or (load_settings().process_path,):
        found += _lint(file, history=history)
    if as_json:
        _say(json.dumps([asdict(line) for line in found], indent=2, ensure_ascii=False))
    else:
        _show(found)
    errors = sum(line.severity == "error" for line in found)
    if errors or (strict and found):
        raise LintFailed(f"{errors} error(s), {len(found) - errors} warning(s)")
    if not as_json:
        _say(f"nothing to fix, {len(found)} warning(s)" if found else "nothing to fix")


@process_app.command(name="schema")
def process_schema() -> None:
    """Print the JSON Schema by which editors complete the process file."""
    from flows.rules.handbook.schema import schema_text

    sys.stdout.write(schema_text())


@process_app.command(name="diagram")
def process_diagram(file: Path | None = None, *, out: Path = Path("process.svg")) -> None:
    """Draw the process as an SVG flowchart: stages, criteria, what the worker does, how a contract can end.

    Parameters
    ----------
    file
        The process file; else the one in force.
    """
    from flows.rules.handbook.diagram import diagram

    _write(out, diagram(_process(file)))


@process_app.command(name="handbook")
def process_handbook(file: Path | None = None, *, out: Path = Path("handbook.md")) -> None:
    """Write the process as a Markdown handbook for the people who sell.

    Parameters
    ----------
    file
        The process file; else the one in force.
    """
    from flows.provision.plan import properties
    from flows.rules.handbook.handbook import handbook
    from flows.rules.handbook.text import HUBSPOT_LABELS

    process = _process(file)
    ours = {own.name: own.label for own in properties(process) if own.object_type == "deals"}
    _write(out, handbook(process, {**ours, **HUBSPOT_LABELS}))


@process_app.command(name="call-notes")
def process_call_notes(name: str, file: Path | None = None) -> None:
    """Print an empty form for the notes of a call, to paste into a note or call in HubSpot.

    Parameters
    ----------
    name
        The form's name under call_notes.
    file
        The process file; else the one in force.
    """
    from flows.rules.process.call_notes import blank

    forms = _process(file).call_notes
    if name not in forms:
        known = f"there are {', '.join(forms)}" if forms else "the process has none (call_notes)"
        raise NoSuchForm(f"there are no call notes {name!r}: {known}")
    sys.stdout.write(blank(name, forms[name]))


@process_app.command(name="backtest")
def process_backtest(
    new: Path,
    *,
    against: Path | None = None,
    since: date | None = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 20,
    hubspot: bool = False,
    as_json: Annotated[bool, Parameter(name="--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Which mirrored deals a process would have stopped or flagged, how many of those were won, and for want of what.

    A move is judged by what was on the deal when it was made, as far as that is known.

    Parameters
    ----------
    new
        The process file to try.
    against
        The process file to compare with; else the one in force.
    since
        Only moves from this day (UTC) on.
    limit
        How many deals to list.
    hubspot
        Read past values of properties and activities from HubSpot, so that they are judged too (many calls).
    """
    from rich.console import Console
    from rich.progress import Progress

    from flows.cli.show_backtest import show
    from flows.trials.backtest import Named, Plan

    plan = Plan(
        new=Named(str(new), _process(new)),
        old=Named(str(against) if against else "the process in force", _process(against)),
        in_force=_process(None),
        since=datetime(since.year, since.month, since.day, tzinfo=UTC) if since else None,
    )
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not (hubspot and errors.is_terminal)) as bar:
        task = bar.add_task("deals read from HubSpot")
        found = run_async(
            _backtest(plan, hubspot, lambda done, of: bar.update(task, completed=done, total=of))
        )
    if as_json:
        _say(json.dumps(found.as_json(limit), indent=2, ensure_ascii=False))
    else:
        show(found, Console(highlight=False, width=None if sys.stdout.isatty() else 1000), limit)


async def _backtest(plan: Any, hubspot: bool, progress: Any) -> Any:
    from config.settings import load_settings
    from flows.ledger.database import open_ledger
    from flows.services import open_services
    from flows.trials.backtest import backtest

    if hubspot:
        s = await open_services(load_settings())
        try:
            return await backtest(plan, s.ledger, hubspot=s, progress=progress)
        finally:
            await s.close()
    ledger = await open_ledger(load_settings().database)
    try:
        return await backtest(plan, ledger)
    finally:
        await ledger.close()


def _show(found: Sequence[Line]) -> None:
    """For people: what is wrong, where, the story behind it, what would be better. Editors jump by the first line."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line in found:
        colour = "bold red" if line.severity == "error" else "yellow"
        first = Text.assemble(
            (f"{line.file}:{line.line or 1}: ", "bold"), (line.severity, colour), f": {line.reason}"
        )
        console.print(first)
        console.print(Text(f"    at {line.place} [{line.rule}]", "dim"))
        for number, step in enumerate(line.story, 1):
            console.print(Text(f"    {number}. {step}"))
        if line.example:
            console.print(Text(f"    better: {line.example}", "green"))


def _process(file: Path | None) -> "SalesProcess":
    from config.files import read_yaml
    from config.settings import load_settings
    from flows.rules.process.sales_process import parse_process

    return parse_process(read_yaml(file or load_settings().process_path))


def _lint(file: Path, *, history: bool) -> Iterator[Line]:
    """All findings on a file; one that cannot be read, or is no process, is a finding too."""
    from config.files import ConfigFileError, read_yaml
    from config.settings import load_settings
    from flows.rules.lint.lint import lint
    from flows.rules.process.sales_process import ProcessError, parse_process

    try:
        content: Any = read_yaml(file)
        process = parse_process(content)
    except ConfigFileError as problem:
        reason = str(problem).removeprefix(str(file)).lstrip(": ")
        yield Line(str(file), problem.line, "the file", "invalid", "error", reason, "")
        return
    except ProcessError as problem:
        for place, text in problem.problems:
            yield _at(file, content, place, "invalid", "error", text.partition(": ")[2], "")
        return
    past = run_async(_history(process)) if history else None
    emails = {path.stem for path in (load_settings().config_dir / "templates" / "email").glob("*.yaml")}
    found = [
        replace(_at(file, content, f.place, f.rule, f.severity, f.reason, f.example), story=f.story)
        for f in lint(process, past, emails)
    ]
    yield from sorted(found, key=lambda line: line.line or 0)


async def _history(process: "SalesProcess") -> "History":
    from config.settings import load_settings
    from flows.ledger.closed_deals import closed_deals
    from flows.ledger.database import open_ledger

    ledger = await open_ledger(load_settings().database)
    try:
        async with ledger.read() as tx:
            return await closed_deals(tx, process)
    finally:
        await ledger.close()


def _at(
    file: Path, content: Any, place: "Place", rule: str, severity: "Severity", reason: str, example: str
) -> Line:
    from config.files import line_of
    from flows.rules.process.error import place_text

    return Line(str(file), line_of(file, place), place_text(content, place), rule, severity, reason, example)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    _say(f"{path}: written")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
