"""The parts of dealflow as processes of this machine, what they need in Prefect, and whether all of it is well."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from flows.cli.output import Json, Refused, run_async, say, settings_now, show_rows

Port = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))]
Wait = Annotated[float, Parameter(validator=validators.Number(gte=0, lte=3600))]


def gateway() -> None:
    """Take deliveries and leads over HTTP, and show the ops page."""
    import uvicorn

    from flows.gateway.app import build_app, check
    from flows.ledger.database import open_ledger
    from flows.services import utc_now

    settings = settings_now()
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

    run_async(serve())


def worker(*, wait: Wait = 0) -> None:
    """Handle events and scheduled runs until stopped.

    Parameters
    ----------
    wait
        Seconds to wait for a Prefect server and for deployments that are being set up meanwhile.
    """
    from flows.worker import worker as worker_module

    worker_module.run(settings_now(), wait_s=wait)


def up(*, prefect_port: Port = 4200) -> None:
    """Run Prefect server, gateway and worker on this machine with the settings of .env, until stopped."""
    from flows.operations.launch import run_all

    run_all(settings_now(), prefect_port=prefect_port)


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
        Stop the clock at these epoch seconds: it moves only by POST /_sandbox/clock/advance.
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
    run_async(serve(options))


def setup(*, prefect_file: Path | None = None, wait: Wait = 0, as_json: Json = False) -> None:
    """Set Prefect up: work pool, deployments, the automation for dead runs. Safe to repeat.

    Without --prefect-file it takes deployments/prefect.yaml from the working folder, else from dealflow's checkout.

    Parameters
    ----------
    wait
        Seconds to wait for a Prefect server that does not answer yet.
    """
    from flows.operations.setup_prefect import setup as set_up

    settings = settings_now()
    places = [Path(), Path(__file__).parents[2]]
    usual = [place / "deployments" / "prefect.yaml" for place in places]
    prefect_file = prefect_file or next((path for path in usual if path.is_file()), usual[0])
    if not prefect_file.is_file():
        raise Refused(f"{prefect_file} does not exist: name it with --prefect-file")
    done = run_async(set_up(prefect_file, settings.work_pool, wait_s=wait))
    say(json.dumps(done) if as_json else "\n".join(done))


def doctor(*, as_json: Json = False) -> None:
    """Check settings, files, ledger, HubSpot, Dropbox Sign and Prefect, and say what to fix."""
    from flows.operations.doctor import examine

    findings = run_async(examine(settings_now()))
    show_rows([{"part": f.part, "ok": "yes" if f.ok else "NO", "what": f.text} for f in findings], as_json)
    if not all(f.ok for f in findings):
        raise Refused("something needs to be fixed: see the lines marked NO")
