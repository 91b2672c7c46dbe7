"""The sandbox process: both stand-ins on loopback ports, one clock, until SIGTERM or SIGINT."""

import asyncio
import gc
import json
import logging
import signal
import socket
import sys
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from connectors.sandbox import dropbox_sign_server, hubspot_server
from connectors.sandbox.clock import Clock
from connectors.sandbox.hubspot_server import errors

HOST = "127.0.0.1"


@dataclass(frozen=True)
class SandboxOptions:
    """Ports (0 picks a free one), the webhook targets, and the secrets that sign them."""

    hubspot_port: int = 0
    dropbox_sign_port: int = 0
    seed: int = 0
    hubspot_webhook_url: str | None = None
    hubspot_client_secret: str = "sandbox-client-secret"  # noqa: S105  # opens nothing but the sandbox
    dropbox_sign_callback_url: str | None = None
    dropbox_sign_api_key: str = "sandbox-api-key"
    frozen_at_s: float | None = None  # time moves only by /_sandbox/clock/advance
    shown_url: str | None = None  # used in links instead of the ports of this run


async def serve(options: SandboxOptions) -> None:
    """Serve until a signal. Prints one JSON line with both URLs when both are ready.

    Raises OSError when a port is taken.
    """
    clock = Clock(frozen_at_s=options.frozen_at_s)
    if options.frozen_at_s is not None:  # a rehearsal: the same ids each time, and few pauses
        errors.repeatable_ids(options.seed)
        gc.freeze()
        gc.set_threshold(20_000, 50, 100)
    hubspot = hubspot_server.build(
        clock,
        seed=options.seed,
        webhook_url=options.hubspot_webhook_url,
        client_secret=options.hubspot_client_secret,
    )
    dropbox_sign = dropbox_sign_server.build(
        clock,
        seed=options.seed,
        callback_url=options.dropbox_sign_callback_url,
        api_key=options.dropbox_sign_api_key,
    )
    sockets = [_bind(options.hubspot_port), _bind(options.dropbox_sign_port)]
    urls = [f"http://{HOST}:{s.getsockname()[1]}" for s in sockets]
    hubspot.public_url, dropbox_sign.public_url = [options.shown_url or url for url in urls]
    servers = [_server(hubspot.asgi), _server(dropbox_sign.asgi)]
    tasks = [asyncio.create_task(s.serve([sock])) for s, sock in zip(servers, sockets, strict=True)]
    ticking = asyncio.create_task(clock.run())
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    try:
        while not all(s.started for s in servers):
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.02)
        sys.stdout.write(json.dumps({"hubspot": urls[0], "dropbox_sign": urls[1]}) + "\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        ticking.cancel()
        await hubspot.bench.deliveries.close()
        await dropbox_sign.bench.deliveries.close()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)


class _Quiet(uvicorn.Server):
    def install_signal_handlers(self) -> None:  # older uvicorn
        return

    def capture_signals(self):  # type: ignore[no-untyped-def]  # newer uvicorn: we stop it ourselves
        import contextlib

        return contextlib.nullcontext()


def _server(app: ASGIApp) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
        # Longer than any client keeps an idle connection: at equal spans (httpx and uvicorn: 5 s) a
        # request sometimes uses a connection that is being closed.
        timeout_keep_alive=75,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return _Quiet(config)


def _bind(port: int) -> socket.socket:
    # With the protocol named, asyncio sets TCP_NODELAY; without it every answer waits 40 ms for an ACK.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError as problem:
        sock.close()
        raise OSError(f"port {port} on {HOST} is taken: choose another, or 0 for a free one") from problem
    return sock
