"""The whole process on the stand-ins: one deal with a real Prefect server, or a quarter of a year in seconds."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from flows.cli.output import Json, Refused, complain, run_async, say


def demo(*, keep: bool = False, json_file: Path | None = None) -> None:
    """A lead becomes a signed, won deal, on the stand-ins, with a real Prefect server.

    Parameters
    ----------
    keep
        Leave everything running until Ctrl-C, so that you can look at it.
    json_file
        Write the summary there as JSON.
    """
    from flows.trials.demo import play

    play(keep=keep, json_file=json_file)


def rehearse(
    *,
    process: Path | None = None,
    deals: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=5000))] = 200,
    days: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=366))] = 90,
    seed: int = 7,
    people: Path | None = None,
    ledger: Path | None = None,
    follow_ups: bool = False,
    as_json: Json = False,
) -> None:
    """Play a quarter of the sales process in seconds, on the stand-ins, with simulated reps, buyers and signers.

    The same seed gives the same ledger, byte for byte. Exit code 1 when a promise is broken.

    Parameters
    ----------
    process
        The process file to rehearse; else the one in force.
    deals
        How many buyers send a lead.
    days
        How many calendar days are played.
    people
        A YAML file that changes how people behave; flows/trials/rehearsal/rates.py lists all rates.
    ledger
        Keep the ledger as this SQLite file; else it is thrown away.
    follow_ups
        Also find stalled deals each day and follow them up (a third more calls).
    """
    from rich.console import Console
    from rich.progress import Progress

    from config.files import read_yaml
    from config.settings import load_settings, unknown_names
    from flows.cli.show_rehearsal import show
    from flows.trials.rehearsal.play import Plan, play
    from flows.trials.rehearsal.rates import parse_rates
    from flows.trials.rehearsal.report import report

    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    for name in unknown_names(os.environ):
        complain(f"{name} is set, but no such setting exists: a misspelling?")
    plan = Plan(
        process_file=process or load_settings().process_path,
        deals=deals,
        days=days,
        seed=seed,
        rates=parse_rates(read_yaml(people) if people else {}),
        ledger=ledger,
        follow_ups=follow_ups,
    )
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(f"{deals} buyers, {days} days", total=days)
        played = run_async(play(plan, lambda day, _now: bar.update(task, completed=day)))
    found = report(played)
    if as_json:
        say(json.dumps(found.as_json(), indent=2, default=str))
    else:
        show(found, Console(highlight=False))
    if not found.ok:
        broken = next(c.broken[0] for c in found.checks if c.broken)
        raise Refused(f"seed {seed}, deal {broken.deal_id}: broken: {broken.promise}")
