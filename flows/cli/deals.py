"""Deals by hand, without Prefect: read the changed ones, compare both vendors with the ledger, explain a gate."""

import json
import sys
from typing import Any

from flows.cli.output import Json, Refused, WrongUsage, run_async, say, settings_now, show_rows


def sync(*, full: bool = False, as_json: Json = False) -> None:
    """Mirror changed deals now, without Prefect; --full reads everything."""
    from flows.deals.sync_deals import sweep
    from flows.services import open_services, override

    settings = settings_now()

    async def go() -> Any:
        s = await open_services(settings)
        try:
            with override(s):
                return await sweep(s, full=full)
        finally:
            await s.close()

    swept = run_async(go())
    say(json.dumps(swept.__dict__) if as_json else swept.summary)


def reconcile(*, as_json: Json = False) -> None:
    """Compare HubSpot, Dropbox Sign and the ledger now, without Prefect: what was missed goes into the inbox."""
    from flows.reconcile.compare import reconcile_all
    from flows.services import open_services, override

    settings = settings_now()

    async def go() -> Any:
        s = await open_services(settings)
        try:
            with override(s):
                return await reconcile_all(s)
        finally:
            await s.close()

    done = run_async(go())
    if as_json:
        say(json.dumps(done.as_json(), indent=2))
        return
    if done.findings:
        show_rows(done.as_json()["findings"], False)
    say(done.summary)


def explain(
    deal: str | None = None, *, stage: str | None = None, unproven: bool = False, as_json: Json = False
) -> None:
    """Why a deal may stand in a stage or not: each criterion with its proof, and the smallest set of facts it lacks.

    Exit code 0 when the gate is open, 1 when it is not.

    Parameters
    ----------
    deal
        HubSpot's id of the deal.
    stage
        The stage to ask about, by its key in the process file; else the one that comes next.
    unproven
        All deals that stand in a stage whose gate they do not meet, instead of one deal.
    """
    from rich.console import Console

    from flows.cli.show_explain import show, show_unproven
    from flows.gates import explain as explaining
    from flows.rules.criteria.counting import number_of
    from flows.services import open_services

    if unproven == bool(deal) or (unproven and stage):
        raise WrongUsage("name a deal (with --stage, if you like), or ask for --unproven: one of both")
    settings = settings_now()

    async def go() -> tuple[list[explaining.Explained], Any]:
        s = await open_services(settings)
        try:
            if unproven:
                return await explaining.unproven(s), s.process
            return [await explaining.explain_deal(s, deal or "", stage)], s.process
        finally:
            await s.close()

    found, process = run_async(go())
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1000)
    if as_json:
        rows = [one.as_json() for one in found]
        say(json.dumps(rows if unproven else rows[0], indent=2))
    elif unproven:
        show_unproven(found, process, console)
    else:
        show(found[0], process, console)
    if unproven and found:
        raise Refused(f"{number_of(len(found), 'deal')} without proof")
    if not unproven and not found[0].explanation.open:
        raise Refused(f"the gate to {found[0].explanation.target} is shut")
