"""`dealflow doctor`: checks everything the product needs and says in one line each what to fix."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
from prefect.client.orchestration import get_client

from config.settings import Settings
from connectors.http.errors import ConnectorError
from connectors.hubspot.portal import Portal
from flows.contracts.callback_url import wanted_url, wrong_urls
from flows.gateway.app import check
from flows.hand_over.hand_over import account_manager
from flows.hand_over.next_deal import place_of
from flows.ledger.database import LedgerError
from flows.processes import FLOWS
from flows.provision.plan import compare
from flows.retries import reading
from flows.services import Services, SetupError, email_folder, open_services


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
        findings.append(_emails(s))
        findings.append(Finding("ledger", True, s.ledger.url.render_as_string()))
        for part, look in (
            ("hubspot", _hubspot),
            ("hubspot set-up", _hubspot_set_up),
            ("dropbox sign", _esign),
            ("prefect", _prefect),
        ):
            findings.append(await _ask(part, look, s))
        if s.mail is not None:
            findings.append(await _ask("mail", _mail, s))
    finally:
        await s.close()
    return findings


def _emails(s: Services) -> Finding:
    """Every e-mail template that the process names is there."""
    named = {stage.follow_up.email for stage in s.process.stages if stage.follow_up} - {None}
    missing = sorted(str(name) for name in named - set(s.emails))
    if missing:
        names = ", ".join(missing)
        return Finding("e-mails", False, f"no template {names}: write it into {email_folder(s.settings)}")
    how = {"off": "none are written", "hubspot": "drafts on the deal", "smtp": "really sent"}
    return Finding("e-mails", True, f"{how[s.settings.follow_up_email]}: {', '.join(sorted(s.emails))}")


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


async def _hubspot_set_up(s: Services) -> str:
    token = s.settings.hubspot_token
    assert token is not None  # open_services asked for it
    portal = Portal(token.get_secret_value(), s.settings.hubspot_base_url)
    found = await asyncio.to_thread(compare, portal, s.process)
    wrong = [problem.what for problem in found.problems]
    wrong += [line for change in found.changes for line in change.lines]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise SetupError(f"run `dealflow provision`: {wrong[0]}{more}")
    return "pipeline, stages, properties and labels are as the process file needs them"


async def _esign(s: Services) -> str:
    account = await reading(s.esign.account)
    wanted = wanted_url(s)
    for one in wrong_urls(s, account):
        raise SetupError(f"the {one.of}'s callback URL is {one.url or 'not set'}: set it to {wanted}")
    mode = "test mode" if s.settings.dropbox_sign_test_mode else "binding requests"
    left = "" if account.requests_left is None else f", {account.requests_left} requests left"
    return f"{mode}, callback URL is set{left}"


async def _mail(s: Services) -> str:
    assert s.mail is not None
    await reading(lambda: asyncio.to_thread(s.mail.check))  # type: ignore[union-attr]
    return f"{s.settings.smtp_host}:{s.settings.smtp_port} lets us in; mails come from {s.mail.from_address}"


async def _prefect(s: Services) -> str:
    async with get_client() as client:
        for flow in FLOWS.values():
            try:
                await client.read_deployment_by_name(flow.deployment)
            except Exception as problem:
                raise SetupError(
                    f"no deployment {flow.deployment} ({type(problem).__name__}): run `dealflow setup`"
                ) from None
    return f"{len(FLOWS)} deployments at {client.api_url}"
