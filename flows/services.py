"""The only place where clients, ledger, clock and sales process are built; tests replace them with `override`."""

import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

import httpx

from config.files import read_yaml
from config.settings import Settings, SettingsError, load_settings
from connectors.dropbox_sign.callback import CallbackReader
from connectors.dropbox_sign.client import DropboxSignClient
from connectors.dropbox_sign.sender import ContractSender
from connectors.dropbox_sign.service import DropboxSign
from connectors.http.exchange import make_http
from connectors.http.pacing import Pace, dropbox_sign_pace, hubspot_pace
from connectors.hubspot.calls import Versions
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.records import Owner, pipeline_called
from connectors.mail.client import MailClient
from flows.contracts.esign import Callbacks, ESign
from flows.documents.emails import EmailTemplate, load_emails
from flows.documents.render import Template, load_template
from flows.errors import FlowError
from flows.ledger import mirror
from flows.ledger.database import Ledger, open_ledger
from flows.ledger.effects import Planned
from flows.retries import reading
from flows.rules.process.sales_process import SalesProcess, parse_process

PROPOSAL, CONTRACT = "proposal", "contract"


class SetupError(FlowError):
    """HubSpot does not match the process file (a pipeline or stage is missing). The text says what to run."""


@dataclass(frozen=True)
class Portal:
    """Facts about the HubSpot account, read at start and refreshed regularly."""

    portal_id: str
    pipeline_id: str
    stage_ids: Mapping[str, str]  # our key -> HubSpot id
    stage_labels: Mapping[str, str]  # HubSpot id -> label, of the whole pipeline
    owners: tuple[Owner, ...]
    roles: Mapping[tuple[str, int], str]  # association (category, type id) deal -> contact: role key
    read_at: datetime

    def stage_key(self, stage_id: str | None) -> str | None:
        """Our key for a HubSpot stage id; None for stages outside the process."""
        return next((key for key, known in self.stage_ids.items() if known == stage_id), None)


@dataclass
class Services:
    """Everything a flow may use. `owner` names this process in leases."""

    settings: Settings
    process: SalesProcess
    ledger: Ledger
    hubspot: HubSpotClient
    esign: ESign
    templates: Mapping[str, Template]
    clock: Callable[[], datetime]
    owner: str
    emails: Mapping[str, EmailTemplate] = field(default_factory=dict)
    mail: MailClient | None = None  # when follow-up e-mails are sent (DEALFLOW_FOLLOW_UP_EMAIL=smtp)
    http: list[httpx.AsyncClient] = field(default_factory=list)
    new_token: Callable[[], str] = lambda: secrets.token_hex(16)  # a rehearsal uses seeded ones
    dice: random.Random = field(default_factory=random.Random)
    portal_fresh_s: float = 900.0  # in a rehearsal nobody changes the account
    planned: list[Planned] | None = None  # a dry run: outward writes are listed here instead of made
    _portal: Portal | None = None

    async def portal(self, *, fresh: bool = False) -> Portal:
        """The account's facts, at most `portal_fresh_s` seconds old. Raises SetupError or the vendor's error."""
        known = self._portal
        if fresh or known is None or (self.clock() - known.read_at).total_seconds() > self.portal_fresh_s:
            self._portal = known = await _read_portal(self)
            facts = {
                "portal_id": known.portal_id,
                "stages": dict(known.stage_ids),
                "labels": dict(known.stage_labels),
                "roles": sorted(set(known.roles.values())),
            }
            async with self.ledger.write() as tx:
                await mirror.keep_portal_facts(tx, facts, now=known.read_at)
        return known

    def deal_url(self, deal_id: str) -> str:
        """The URL of the deal in HubSpot."""
        return self.record_url("0-3", deal_id)

    def record_url(self, object_type_id: str, record_id: str) -> str:
        """The URL of a record in HubSpot: 0-1 contacts, 0-2 companies, 0-3 deals."""
        portal_id = self._portal.portal_id if self._portal else self.settings.hubspot_portal_id or "0"
        return f"{self.settings.hubspot_app_url}/contacts/{portal_id}/record/{object_type_id}/{record_id}"

    def request_url(self, request_id: str) -> str:
        """The URL of the signature request."""
        return f"{self.settings.dropbox_sign_app_url}/home/manage?guid={request_id}"

    async def close(self) -> None:
        """Close all connections."""
        for client in self.http:
            await client.aclose()
        await self.ledger.close()


def utc_now() -> datetime:
    """The current time as aware UTC."""
    return datetime.now(UTC)


def process_name() -> str:
    """Host, process id and a start mark: names this process in leases and lets another process see that it died."""
    return f"{process_place()}:{os.getpid()}:{int(utc_now().timestamp() * 1000):x}"


def process_place() -> str:
    """The scope of process ids: the host and its process id namespace (containers may share host names)."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:  # not Linux
        namespace = ""
    return f"{socket.gethostname()}/{''.join(c for c in namespace if c.isdigit())}"


def load_process(settings: Settings) -> SalesProcess:
    """Load the sales process. Raises ConfigFileError or ProcessError."""
    return parse_process(read_yaml(settings.process_path))


def load_templates(settings: Settings) -> dict[str, Template]:
    """Load the document templates, by kind."""
    folder = Path(settings.config_dir) / "templates"
    return {kind: load_template(folder / kind) for kind in (PROPOSAL, CONTRACT)}


def email_folder(settings: Settings) -> Path:
    """The folder of the e-mail templates."""
    return Path(settings.config_dir) / "templates" / "email"


async def open_services(settings: Settings) -> Services:
    """Build all services for a worker. Raises SettingsError naming the first missing secret, LedgerError, ..."""
    settings.require("hubspot_token", "dropbox_sign_api_key")
    assert settings.hubspot_token is not None and settings.dropbox_sign_api_key is not None
    process, templates = load_process(settings), load_templates(settings)
    emails, mail = load_emails(email_folder(settings)), _mail(settings)
    ledger = await open_ledger(settings.database)
    hubspot_http, sign_http = make_http(), make_http()
    return Services(
        settings=settings,
        process=process,
        ledger=ledger,
        hubspot=HubSpotClient(
            settings.hubspot_token.get_secret_value(),
            base_url=settings.hubspot_base_url,
            versions=_versions(settings),
            http=hubspot_http,
            pace=hubspot_pace(burst=settings.hubspot_burst_per_10s),
        ),
        esign=_esign(settings, settings.dropbox_sign_api_key.get_secret_value(), sign_http),
        templates=templates,
        emails=emails,
        mail=mail,
        clock=utc_now,
        owner=process_name(),
        http=[hubspot_http, sign_http],
    )


def _versions(settings: Settings) -> Versions:
    families = {f.name for f in fields(Versions)}
    unknown = set(settings.hubspot_api_versions) - families
    if unknown:
        raise SettingsError(
            f"DEALFLOW_HUBSPOT_API_VERSIONS: no such route family: {', '.join(sorted(unknown))}; "
            f"there are {', '.join(sorted(families))}"
        )
    return Versions(
        **{f: settings.hubspot_api_versions.get(f, settings.hubspot_api_version) for f in families}
    )


def _mail(settings: Settings) -> MailClient | None:
    if settings.follow_up_email != "smtp":
        return None
    settings.require("smtp_host", "smtp_from")
    if settings.smtp_user:
        settings.require("smtp_password")
        if settings.smtp_tls == "off" and settings.smtp_host not in ("localhost", "127.0.0.1", "::1"):
            raise SettingsError("DEALFLOW_SMTP_TLS=off would send the password unencrypted: use starttls")
    return MailClient(
        settings.smtp_host,
        settings.smtp_port,
        from_address=settings.smtp_from,
        tls=settings.smtp_tls,
        user=settings.smtp_user,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else "",
    )


def _esign(settings: Settings, api_key: str, http: httpx.AsyncClient) -> ESign:
    """The one place that chooses the vendor of e-signatures, with `esign_callbacks`."""
    pace, base_url = _sign_pace(settings), settings.dropbox_sign_base_url
    return DropboxSign(
        client=DropboxSignClient(api_key, base_url=base_url, http=http, pace=pace),
        sender=ContractSender(api_key, base_url=base_url),
        pace=pace,
        client_id=settings.dropbox_sign_client_id or None,
    )


def esign_callbacks(settings: Settings | None = None) -> Callbacks:
    """Reads and verifies callbacks with the keys of these settings; without settings it only reads."""
    if settings is None:
        return CallbackReader()
    keys = [settings.dropbox_sign_api_key, *settings.dropbox_sign_callback_keys]
    return CallbackReader([key.get_secret_value() for key in keys if key is not None])


def _sign_pace(settings: Settings) -> Pace:
    per_minute = settings.dropbox_sign_calls_per_minute
    if per_minute:
        return dropbox_sign_pace(standard=per_minute, high=per_minute)
    return dropbox_sign_pace(test_mode=10 if settings.dropbox_sign_test_mode else None)


async def _read_portal(s: Services) -> Portal:
    account = await reading(s.hubspot.account_details)
    pipelines = await reading(lambda: s.hubspot.pipelines("deals"))
    owners = await reading(s.hubspot.owners)
    labels = await reading(lambda: s.hubspot.association_labels("deals", "contacts"))
    wanted = s.process.pipeline
    pipeline = pipeline_called(wanted, pipelines)
    if pipeline is None:
        raise SetupError(f"HubSpot has no deal pipeline {wanted!r}: run `dealflow provision --apply`")
    found: dict[str, str] = {}
    for stage in s.process.stages:
        known = pipeline.stage_called(stage.hubspot_name)
        if known is None:
            raise SetupError(
                f"HubSpot's pipeline has no stage {stage.hubspot_name!r}: run `dealflow provision --apply`"
            )
        found[stage.key] = known.id
    role_of_label = {label: role for role, label in s.process.role_labels.items()}
    return Portal(
        portal_id=account.portal_id,
        pipeline_id=pipeline.id,
        stage_ids=found,
        stage_labels={stage.id: stage.label for stage in pipeline.stages},
        owners=tuple(sorted((o for o in owners if not o.archived), key=lambda o: int(o.id))),
        roles={(t.category, t.type_id): role_of_label[t.label] for t in labels if t.label in role_of_label},
        read_at=s.clock(),
    )


_current: Services | None = None


@asynccontextmanager
async def use() -> AsyncIterator[Services]:
    """The services of this process: those of the worker, or new ones for a run that a Prefect worker started."""
    if _current is not None:
        yield _current
        return
    opened = await open_services(load_settings())
    try:
        with override(opened):
            yield opened
    finally:
        await opened.close()


@contextmanager
def override(services: Services) -> Iterator[Services]:
    """Use these services inside the block (the worker at start; tests)."""
    global _current
    before, _current = _current, services
    try:
        yield services
    finally:
        _current = before
