"""`dealflow doctor`: looks at everything the product needs and says in one line each what to mend."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
from prefect.client.orchestration import get_client

from config.settings import Settings
from connectors.errors import ConnectorError
from flows.callback_url import wanted_url, wrong_urls
from flows.dispatch import FLOWS, deployment_name
from flows.follow_on import place_of
from flows.gateway.app import check
from flows.hand_over import account_manager
from flows.ledger.database import LedgerError
from flows.retries import reading
from flows.services import Services, SetupError, open_services


@dataclass(frozen=True)
class Finding:
    """One part, whether it is well, and what it says."""

    part: str
    ok: bool
    text: str


async def examine(settings: Settings) -> list[Finding]:
    """All findings. Settings and files that cannot be read raise their own clear errors."""
    findings: list[Finding] = []
    check(settings)
    findings.append(Finding("settings", True, "all secrets are set"))
    try:
        s = await open_services(settings)
    except LedgerError as problem:
        return [*findings, Finding("ledger", False, str(problem))]
    try:
        findings.append(Finding("process", True, f"{s.process.name}, {len(s.process.stages)} stages"))
        findings.append(Finding("templates", True, ", ".join(sorted(s.templates))))
        findings.append(Finding("ledger", True, s.ledger.url.render_as_string()))
        for part, look in (("hubspot", _hubspot), ("dropbox sign", _dropbox_sign), ("prefect", _prefect)):
            findings.append(await _ask(part, look, s))
    finally:
        await s.close()
    return findings


async def _ask(part: str, look: Callable[[Services], Awaitable[str]], s: Services) -> Finding:
    try:
        return Finding(part, True, await look(s))
    except (ConnectorError, SetupError, httpx.HTTPError, RuntimeError, ValueError) as problem:
        text = str(problem) or type(problem).__name__
        return Finding(part, False, text.splitlines()[0][:200])


async def _hubspot(s: Services) -> str:
    portal = await s.portal()
    plan = s.process.hand_over
    if plan.follow_on is not None:
        await place_of(s, portal, plan.follow_on)
    if plan.account_manager != "same_owner" and account_manager(s, portal) is None:
        raise SetupError("hand_over.account_manager names no active user of HubSpot: name another")
    return f"portal {portal.portal_id}, pipeline {portal.pipeline_id}, {len(portal.owners)} owners"


async def _dropbox_sign(s: Services) -> str:
    account = await reading(s.dropbox_sign.account)
    wanted = wanted_url(s)
    for one in await wrong_urls(s, account):
        raise SetupError(f"the {one.of}'s callback URL is {one.url or 'not set'}: set it to {wanted}")
    mode = "test mode" if s.settings.dropbox_sign_test_mode else "binding requests"
    left = "" if account.requests_left is None else f", {account.requests_left} requests left"
    return f"{mode}, callback URL is set{left}"


async def _prefect(s: Services) -> str:
    async with get_client() as client:
        for module in FLOWS:
            try:
                await client.read_deployment_by_name(deployment_name(module))
            except Exception as problem:
                raise SetupError(
                    f"no deployment {deployment_name(module)} ({type(problem).__name__}): run `dealflow setup`"
                ) from None
    return f"{len(FLOWS)} deployments at {client.api_url}"
