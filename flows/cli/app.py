"""The `dealflow` command. Exit codes: 0 done, 1 refused or failed, 2 wrong usage; errors are one clear line."""

import importlib.metadata
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import cyclopts
from cyclopts import App, Parameter, validators

from config.errors import ConfigError
from config.settings import load_settings, unknown_names
from connectors.http.errors import ConnectorError
from flows.cli.follow_ups import follow_ups_app
from flows.cli.guard import guard_app
from flows.cli.inbox import inbox_app
from flows.cli.output import Json, Limit, Refused, WrongUsage
from flows.cli.output import complain as _complain
from flows.cli.output import read_ledger as _read_ledger
from flows.cli.output import run_async as _run
from flows.cli.output import say as _say
from flows.cli.output import settings_now as _settings
from flows.cli.output import show_rows as _show
from flows.cli.output import write_ledger as _write_ledger
from flows.cli.process import process_app
from flows.cli.provision import provision
from flows.errors import FlowError
from flows.operations.prefect_environment import PREFECT_QUIET, USUAL_API_URL

app = App(
    name="dealflow",
    help=__doc__,
    version=lambda: importlib.metadata.version("dealflow"),
    version_flags=["--version"],
    default_parameter=Parameter(negative=()),
)
effects_app = App(name="effects", help="Outward writes, in the ledger.")
proposal_app = App(name="proposal", help="Proposals.")
for _child in (inbox_app, guard_app, effects_app, follow_ups_app, proposal_app, process_app):
    app.command(_child)
app.command(provision)

EffectState = Literal["intended", "not_done", "unknown", "done", "refused", "quarantined"]
Port = Annotated[int, Parameter(validator=cyclopts.validators.Number(gte=0, lte=65535))]


def main() -> NoReturn:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    for name, value in {"PREFECT_API_URL": USUAL_API_URL, **PREFECT_QUIET}.items():
        os.environ.setdefault(name, value)  # before anything imports Prefect
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (cyclopts.CycloptsError, WrongUsage) as problem:
        _complain(f"{problem} (see `dealflow --help`)")
        return 2
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # whoever read us (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (FlowError, ConfigError, ConnectorError, OSError) as problem:
        _complain(str(problem))
        return 1
    return 0


@app.command
def gateway() -> None:
    """Take deliveries and leads over HTTP, and show the ops page."""
    import uvicorn

    from flows.gateway.app import build_app, check
    from flows.ledger.database import open_ledger
    from flows.services import utc_now

    settings = _settings()
    check(settings)

    async def serve() -> None:
        # HubSpot waits five seconds for an answer: a busy ledger must become our 503 before that.
        ledger = await open_ledger(settings.database, busy_s=3)
        config = uvicorn.Config(
            build_app(settings, ledger, utc_now),
            host=settings.gateway_host,
            port=settings.gateway_port,
            log_level="warning",
            access_log=False,
            server_header=False,
        )
        await uvicorn.Server(config).serve()

    _run(serve())


@app.command
def worker() -> None:
    """Handle events and scheduled runs until stopped."""
    from flows.worker import worker as worker_module

    worker_module.run(_settings())


@app.command
def sandbox(
    *,
    hubspot_port: Port = 0,
    dropbox_sign_port: Port = 0,
    seed: int = 0,
    hubspot_webhook_url: str | None = None,
    dropbox_sign_callback_url: str | None = None,
    frozen_at: float | None = None,
    shown_url: str | None = None,
) -> None:
    """Run the HubSpot and Dropbox Sign stand-ins on loopback ports until SIGTERM.

    Prints one JSON line with both addresses when both answer. Port 0 picks a free one.

    Parameters
    ----------
    frozen_at
        Epoch seconds at which time stands still: it moves only by POST /_sandbox/clock/advance.
    shown_url
        Address written into links and webhooks instead of the real ones, which change with the ports.
    """
    from connectors.sandbox.serve import SandboxOptions, serve

    options = SandboxOptions(
        hubspot_port=hubspot_port,
        dropbox_sign_port=dropbox_sign_port,
        seed=seed,
        hubspot_webhook_url=hubspot_webhook_url,
        dropbox_sign_callback_url=dropbox_sign_callback_url,
        frozen_at_s=frozen_at,
        shown_url=shown_url,
    )
    _run(serve(options))


@app.command
def setup(*, prefect_file: Path | None = None, as_json: Json = False) -> None:
    """Make Prefect fit: work pool, deployments, the automation for dead runs. Safe to repeat.

    Without --prefect-file it takes deployments/prefect.yaml from here, else from the checkout of dealflow.
    """
    from flows.operations.setup_prefect import setup as set_up

    settings = _settings()
    places = [Path(), Path(__file__).parents[2]]
    usual = [place / "deployments" / "prefect.yaml" for place in places]
    prefect_file = prefect_file or next((path for path in usual if path.is_file()), usual[0])
    if not prefect_file.is_file():
        raise Refused(f"{prefect_file} does not exist: name it with --prefect-file")
    done = _run(set_up(prefect_file, settings.work_pool))
    _say(json.dumps(done) if as_json else "\n".join(done))


@app.command
def sync(*, full: bool = False, as_json: Json = False) -> None:
    """Mirror changed deals now, without Prefect; --full reads everything."""
    from flows.deals.sync_deals import sweep
    from flows.services import open_services, override

    settings = _settings()

    async def go() -> Any:
        s = await open_services(settings)
        try:
            with override(s):
                return await sweep(s, full=full)
        finally:
            await s.close()

    swept = _run(go())
    _say(json.dumps(swept.__dict__) if as_json else swept.summary)


@app.command
def reconcile(*, as_json: Json = False) -> None:
    """Compare HubSpot, Dropbox Sign and the ledger now, without Prefect: missed ends go into the inbox."""
    from flows.reconcile.compare import reconcile_all
    from flows.services import open_services, override

    settings = _settings()

    async def go() -> Any:
        s = await open_services(settings)
        try:
            with override(s):
                return await reconcile_all(s)
        finally:
            await s.close()

    done = _run(go())
    if as_json:
        _say(json.dumps(done.as_json(), indent=2))
        return
    if done.findings:
        _show(done.as_json()["findings"], False)
    _say(done.summary)


@app.command
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
    settings = _settings()

    async def go() -> tuple[list[explaining.Explained], Any]:
        s = await open_services(settings)
        try:
            if unproven:
                return await explaining.unproven(s), s.process
            return [await explaining.explain_deal(s, deal or "", stage)], s.process
        finally:
            await s.close()

    found, process = _run(go())
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1000)
    if as_json:
        rows = [one.as_json() for one in found]
        _say(json.dumps(rows if unproven else rows[0], indent=2))
    elif unproven:
        show_unproven(found, process, console)
    else:
        show(found[0], process, console)
    if unproven and found:
        raise Refused(f"{number_of(len(found), 'deal')} without proof")
    if not unproven and not found[0].explanation.open:
        raise Refused(f"the gate to {found[0].explanation.target} is shut")


@app.command
def doctor(*, as_json: Json = False) -> None:
    """Check settings, files, ledger, HubSpot, Dropbox Sign and Prefect, and say what to mend."""
    from flows.operations.doctor import examine

    findings = _run(examine(_settings()))
    _show([{"part": f.part, "ok": "yes" if f.ok else "NO", "what": f.text} for f in findings], as_json)
    if not all(f.ok for f in findings):
        raise Refused("something needs mending: see the lines marked NO")


@app.command
def up(*, prefect_port: Port = 4200) -> None:
    """Run Prefect server, gateway and worker on this machine with the settings of .env, until stopped."""
    from flows.operations.launch import run_all

    run_all(_settings(), prefect_port=prefect_port)


@app.command
def demo(*, keep: bool = False, json_file: Path | None = None) -> None:
    """A lead becomes a signed, won deal, on the stand-ins, with a real Prefect server.

    Parameters
    ----------
    keep
        Leave everything running to look at, until Ctrl-C.
    json_file
        Write the summary there as JSON.
    """
    from flows.trials.demo import play

    play(keep=keep, json_file=json_file)


@app.command
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
        Also look each day for deals that do not get on, and follow them up (a third more calls).
    """
    import os

    from rich.console import Console
    from rich.progress import Progress

    from config.files import read_yaml
    from flows.cli.show_rehearsal import show
    from flows.trials.rehearsal.play import Plan, play
    from flows.trials.rehearsal.rates import parse_rates
    from flows.trials.rehearsal.report import report

    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    for name in unknown_names(os.environ):
        _complain(f"{name} is set, but no such setting exists: a misspelling?")
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
        played = _run(play(plan, lambda day, _now: bar.update(task, completed=day)))
    found = report(played)
    if as_json:
        _say(json.dumps(found.as_json(), indent=2, default=str))
    else:
        show(found, Console(highlight=False))
    if not found.ok:
        broken = next(c.broken[0] for c in found.checks if c.broken)
        raise Refused(f"seed {seed}, deal {broken.deal_id}: broken: {broken.promise}")


@effects_app.command(name="list")
def effects_list(
    *,
    state: list[EffectState] | None = None,
    deal: str | None = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Outward writes, newest first."""
    from flows.ledger import effects

    async def read(tx: Any) -> list[dict[str, Any]]:
        rows = await effects.listing(tx, states=state or (), deal_id=deal, limit=limit)
        return [
            {"key": e.key, "state": e.state, "tries": e.attempts, "result": e.result, "why": e.reason}
            for e in rows
        ]

    _show(_read_ledger(read), as_json)


@effects_app.command(name="release")
def effects_release(key: str, *, why: str) -> None:
    """You looked at the vendor and a quarantined write is not there: it may be tried again (after one more look).

    Parameters
    ----------
    key
        The write's key, as `dealflow effects list --state quarantined` shows it.
    why
        Who looked, and what they saw: kept in the ledger.
    """
    from flows.ledger import effects

    async def free(tx: Any) -> bool:
        return await effects.release(tx, key, why=why)

    if not _write_ledger(free):
        raise Refused(f"no quarantined write has the key {key!r}")
    _say("released: retry its event with `dealflow inbox retry`, or wait for the next event of the deal")


@proposal_app.command(name="render")
def proposal_render(
    deal: str | None = None, *, sample: bool = False, out: Path = Path("proposal.pdf")
) -> None:
    """Write a deal's proposal to a file, to look at; HubSpot is only read. With --sample: the sample data."""
    from flows.operations.preview import proposal_of_deal, sample_proposal

    settings = _settings()
    if sample == bool(deal):
        raise WrongUsage("name a deal, or ask for --sample: one of both")
    document = sample_proposal(settings) if sample else _run(proposal_of_deal(settings, deal or ""))
    out.write_bytes(document.pdf)
    _say(f"{out}: {document.page_count} page(s), sha256 {document.sha256[:12]}")
