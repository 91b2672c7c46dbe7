"""`dealflow provision`: what HubSpot lacks for the process file, shown, and with --apply written."""

import json
from typing import TYPE_CHECKING

from connectors.http.errors import ConnectorError
from flows.cli.output import Json, Refused, WrongUsage, say, settings_now

if TYPE_CHECKING:
    from flows.provision.changes import Change, Comparison

_DONE = {"create": "created", "restore": "restored", "update": "updated"}


def provision(*, plan: bool = False, apply: bool = False, as_json: Json = False) -> None:
    """Show what HubSpot lacks for the process file (--plan, the default); with --apply create and correct it.

    Deletes nothing, safe to repeat. What only you can fix (a criterion that asks for a property HubSpot does not have,
    a property of the wrong type in our place) is listed as a problem; then nothing is written, and the exit code is 1.
    """
    if plan and apply:
        raise WrongUsage("give --plan or --apply, not both")
    from connectors.hubspot.portal import Portal
    from flows.provision.plan import compare
    from flows.services import load_process

    settings = settings_now()
    settings.require("hubspot_token")
    assert settings.hubspot_token is not None
    process = load_process(settings)
    portal = Portal(settings.hubspot_token.get_secret_value(), settings.hubspot_base_url)
    found = compare(portal, process)
    made: list[Change] = []
    left: list[str] = []
    try:
        if apply and not found.problems:
            _apply(found.changes, made, quiet=as_json)
            left = (
                [line for change in compare(portal, process).changes for line in change.lines] if made else []
            )
    finally:
        _tell(found, made, as_json=as_json, planned=not apply or bool(found.problems))
    if found.problems:
        nothing = "; nothing was changed" if apply else ""
        raise Refused(f"{len(found.problems)} problem(s) to solve first{nothing}")
    if left:
        raise Refused(f"HubSpot did not keep what was set: {'; '.join(left)}")


def _apply(changes: "list[Change]", made: "list[Change]", *, quiet: bool) -> None:
    """One after the other; each is printed, and noted in `made`, when it is done."""
    from flows.provision.plan import ProvisionError

    for change in changes:
        try:
            change.apply()
        except (ConnectorError, ProvisionError) as problem:
            done = f"{len(made)} of {len(changes)} changes are made"
            raise Refused(f"{problem}; {done}: run it again for the rest") from problem
        made.append(change)
        if not quiet:
            _say(_DONE[change.action], change)


def _tell(found: "Comparison", made: "list[Change]", *, as_json: bool, planned: bool) -> None:
    """As JSON all of it, what is made marked as done; as text what `_apply` has not printed already."""
    if as_json:
        rows = [{**row, "done": change in made} for change in found.changes for row in change.rows()]
        problems = [problem.row() for problem in found.problems]
        all_made = not planned and len(made) == len(found.changes)
        say(
            json.dumps(
                {"applied": all_made, "changes": rows, "problems": problems, "notes": found.notes}, indent=2
            )
        )
        return
    for change in found.changes if planned else ():
        _say(f"would {change.action}", change)
    for problem in found.problems:
        say(f"problem: {problem.what}\n    fix: {problem.do}")
    for note in found.notes:
        say(f"note: {note}")
    if not found.changes and not found.problems:
        say("HubSpot fits the process file: nothing to do")


def _say(does: str, change: "Change") -> None:
    for line in change.lines:
        say(f"{does} {line}")
