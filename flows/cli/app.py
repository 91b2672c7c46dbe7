"""The `dealflow` command. Exit codes: 0 done, 1 refused or failed, 2 wrong usage; errors are one clear line."""

import os
import sys
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter

from config.errors import ConfigError
from connectors.http.errors import ConnectorError
from flows.cli.deals import explain, reconcile, sync
from flows.cli.output import WrongUsage, complain
from flows.cli.provision import provision
from flows.cli.run import doctor, gateway, sandbox, setup, up, worker
from flows.cli.trials import demo, rehearse
from flows.errors import FlowError
from flows.operations.prefect_environment import PREFECT_QUIET, USUAL_API_URL


def _version() -> str:
    import importlib.metadata

    return importlib.metadata.version("dealflow")


app = App(
    name="dealflow",
    help=__doc__,
    version=_version,
    version_flags=["--version"],
    default_parameter=Parameter(negative=()),
)
# A module of the command line imports at its top only what every command needs; the rest is imported where it is used,
# so that help and the checks of the process file start at once (tests/flows/cli/test_start_up.py).
for _command in (
    demo,
    doctor,
    explain,
    gateway,
    provision,
    reconcile,
    rehearse,
    sandbox,
    setup,
    sync,
    up,
    worker,
):
    app.command(_command)
# A group is imported when it is named.
for _group, _module, _help in (
    ("effects", "effects", "Outward writes, in the ledger."),
    ("follow-ups", "follow_ups", "Follow-ups of stalled deals, in the ledger."),
    ("guard", "guard", "Deals that were moved past their gate, and overrides by named persons."),
    ("inbox", "inbox", "What arrived, in the ledger."),
    ("process", "process", "The sales process file: check it, show it, explain it."),
    ("proposal", "proposal", "Proposals."),
):
    app.command(f"flows.cli.{_module}:{_module}_app", name=_group, help=_help)


def main() -> NoReturn:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    for name, value in {"PREFECT_API_URL": USUAL_API_URL, **PREFECT_QUIET}.items():
        os.environ.setdefault(name, value)  # before anything imports Prefect
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, WrongUsage) as problem:
        complain(f"{problem} (see `dealflow --help`)")
        return 2
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # the reader (`| head`) has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (FlowError, ConfigError, ConnectorError, OSError) as problem:
        complain(str(problem))
        return 1
    return 0
