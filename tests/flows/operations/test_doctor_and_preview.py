"""`dealflow doctor` and the preview of documents against the stand-ins."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from pydantic import SecretStr
from pypdf import PdfReader

from config.settings import Settings, SettingsError
from flows.operations.doctor import examine
from flows.operations.preview import proposal_of_deal, sample_proposal
from flows.services import SetupError
from tests.desk import no_waiting
from tests.mail_server import MailServer, make_server, server, trust

__all__ = ["make_server", "server", "trust"]


NOBODY = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
"""A Prefect address where nobody listens."""


async def _findings(settings: Settings, **changes: Any) -> dict[str, Any]:
    with temporary_settings(NOBODY), no_waiting():
        return {f.part: f for f in await examine(settings.model_copy(update=changes))}


async def test_a_healthy_set_up_says_what_it_found(world: Any, settings: Settings) -> None:
    """Settings, process, templates, ledger, HubSpot, Dropbox Sign: each well, with what was seen there."""
    url = f"{settings.base_url}/webhooks/dropbox-sign"
    world.sign.put("/_sandbox/callback", json={"url": url}).raise_for_status()

    found = await _findings(settings)

    wanted = [
        "settings",
        "process",
        "templates",
        "e-mails",
        "ledger",
        "hubspot",
        "hubspot set-up",
        "dropbox sign",
        "prefect",
    ]
    assert list(found) == wanted
    assert all(found[part].ok for part in wanted[:-1]), found
    assert not found["prefect"].ok  # nobody listens there
    assert "48213377" in found["hubspot"].text and "3 owners" in found["hubspot"].text
    assert "test mode" in found["dropbox sign"].text and "callback URL is set" in found["dropbox sign"].text


async def test_an_email_template_that_is_missing_is_told(
    world: Any, settings: Settings, tmp_path: Path
) -> None:
    """The process names one that nobody wrote: the line names it, and where it belongs."""
    file = tmp_path / "process.yaml"
    file.write_text(settings.process_path.read_text().replace("email: first_answer", "email: first_word"))

    found = (await _findings(settings, process_file=file))["e-mails"]

    assert not found.ok and "no template first_word" in found.text and "templates/email" in found.text


async def test_the_mail_server_is_tried(world: Any, settings: Settings, server: MailServer) -> None:
    """With smtp it is reached, and nothing is sent; where it is not, the line says so without a password."""
    smtp = {
        "follow_up_email": "smtp",
        "smtp_host": server.host,
        "smtp_port": server.port,
        "smtp_tls": "off",
        "smtp_from": "sales@seller.example",
    }
    found = await _findings(settings, **smtp)
    assert found["mail"].ok and found["e-mails"].text.startswith("really sent") and server.taken == []
    away = {**smtp, "smtp_port": 9, "smtp_user": "u", "smtp_password": SecretStr("a secret")}
    found = await _findings(settings, **away)
    assert not found["mail"].ok and "a secret" not in found["mail"].text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "DEALFLOW_SMTP_HOST"),
        ({"smtp_host": "mail.example.com"}, "DEALFLOW_SMTP_FROM"),
        (
            {"smtp_host": "mail.example.com", "smtp_from": "a@b.example", "smtp_user": "u"},
            "DEALFLOW_SMTP_PASSWORD",
        ),
        (
            {
                "smtp_host": "mail.example.com",
                "smtp_from": "a@b.example",
                "smtp_user": "u",
                "smtp_password": SecretStr("p"),
                "smtp_tls": "off",
            },
            "DEALFLOW_SMTP_TLS",
        ),
    ],
)
async def test_half_a_mail_server_is_refused(settings: Settings, change: dict[str, Any], says: str) -> None:
    """What is missing is named at the start, and a password never goes over the wire in the clear."""
    with pytest.raises(SettingsError, match=says):
        await _findings(settings, follow_up_email="smtp", **change)


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/elsewhere"])
async def test_a_callback_url_that_is_not_ours_is_told(world: Any, settings: Settings, url: Any) -> None:
    """Without the callback URL no signature event arrives: the line says which URL to set."""
    world.sign.put("/_sandbox/callback", json={"url": url}).raise_for_status()

    found = (await _findings(settings))["dropbox sign"]

    assert not found.ok and f"set it to {settings.base_url}/webhooks/dropbox-sign" in found.text


async def test_hubspot_that_is_not_provisioned_is_told(bare: Any, settings: Settings) -> None:
    """The line names the command."""
    found = (await _findings(settings))["hubspot"]

    assert not found.ok and "dealflow provision --apply" in found.text


async def test_drift_in_hubspot_is_told(world: Any, settings: Settings) -> None:
    """What somebody changed in HubSpot's settings: the first difference, how many more, and the command."""
    name = "/crm/properties/2026-03/deals/dealflow_source"
    changed = {"label": "Source", "description": "?"}
    world.hub.patch(name, headers={"Authorization": "Bearer t"}, json=changed).raise_for_status()

    found = (await _findings(settings))["hubspot set-up"]

    assert not found.ok and found.text == (
        'run `dealflow provision`: deal property dealflow_source: label "Source" -> "Lead source" and 1 more'
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("account_manager: former.rep@example.test", "hand_over.account_manager names no active user"),
        ("follow_on: {pipeline: Growth, stage: New}", "no deal pipeline 'Growth'"),
    ],
)
async def test_a_hand_over_to_nobody_is_told(
    world: Any, settings: Settings, tmp_path: Path, said: str, told: str
) -> None:
    """An account manager who has left, a next deal that has no place: before a deal is won."""
    text = settings.process_path.read_text().partition("\nhand_over:")[0]
    file = tmp_path / "process.yaml"
    file.write_text(f"{text}\nhand_over:\n  {said}\n")

    found = (await _findings(settings, process_file=file))["hubspot"]

    assert not found.ok and told in found.text


async def test_a_wrong_key_is_told_without_showing_it(world: Any, settings: Settings) -> None:
    """Both vendors refuse: two lines that say so, and neither key in them."""
    world.fault("hub", "status", "/account-info/", status=401, times=None)
    world.fault("sign", "status", "/v3/account", status=401, times=None)

    found = await _findings(settings)

    for part in ("hubspot", "dropbox sign"):
        assert not found[part].ok and "check the key" in found[part].text
    told = " ".join(f.text for f in found.values())
    assert "test-token" not in told and "sandbox-api-key" not in told


async def test_a_ledger_that_cannot_be_opened_is_told(world: Any, settings: Settings, tmp_path: Any) -> None:
    """A folder in the way, or an address that leads nowhere: a line, not a trace."""
    (tmp_path / "file").write_text("x")
    found = await _findings(settings, database_url=f"sqlite:///{tmp_path}/file/ledger.db")

    assert not found["ledger"].ok and "folder" in found["ledger"].text


async def test_a_missing_secret_stops_it(settings: Settings) -> None:
    """The first thing to fix is named at once."""
    with pytest.raises(SettingsError, match="DEALFLOW_HUBSPOT_CLIENT_SECRET"):
        await _findings(settings, hubspot_client_secret=None)


async def test_the_command_tells_it_in_lines(world: Any, settings: Settings, run_dealflow: Any) -> None:
    """`dealflow doctor` exits with 1 when something is not well, and names it."""
    with temporary_settings(NOBODY):
        done = run_dealflow(
            "doctor",
            DEALFLOW_HOME=str(settings.home),
            DEALFLOW_HUBSPOT_BASE_URL=settings.hubspot_base_url,
            DEALFLOW_DROPBOX_SIGN_BASE_URL=settings.dropbox_sign_base_url,
            DEALFLOW_HUBSPOT_TOKEN="t",
            DEALFLOW_HUBSPOT_CLIENT_SECRET="c",
            DEALFLOW_DROPBOX_SIGN_API_KEY="k",
            DEALFLOW_LEADS_TOKEN="l",
        )

    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "prefect" in done.stdout and "NO" in done.stdout


async def test_a_preview_files_nothing(world: Any, settings: Settings, sales: Any) -> None:
    """The proposal as it would be, from the deal as it is: nothing is written anywhere."""
    deal_id = await sales.deal("development", proposal=False)
    world.forget_calls()

    document = await proposal_of_deal(settings, deal_id)

    text = "\n".join(page.extract_text() for page in PdfReader(BytesIO(document.pdf)).pages)
    assert "Analytical Engines Ltd" in text and "3,600.00" in text
    writes = [c for c in world.calls("hub", "/") if c["method"] != "GET" and "/read" not in c["path"]]
    assert writes == [] and world.files() == []


async def test_a_preview_of_no_deal_is_told(world: Any, settings: Settings) -> None:
    """An unknown deal is named."""
    with pytest.raises(SetupError, match="no deal 12345"):
        await proposal_of_deal(settings, "12345")


def test_the_sample_needs_nobody() -> None:
    """The template with its own sample: no vendor, no secret, a whole PDF."""
    document = sample_proposal(Settings())

    assert document.pdf.startswith(b"%PDF") and document.page_count >= 1 and document.title


def test_the_command_renders_the_sample(run_dealflow: Any, tmp_path: Any) -> None:
    """`dealflow proposal render --sample` needs no settings at all."""
    out = tmp_path / "sample.pdf"

    done = run_dealflow("proposal", "render", "--sample", "--out", str(out))

    assert done.returncode == 0, done.stderr
    assert out.read_bytes().startswith(b"%PDF")


async def test_the_command_names_what_a_deal_lacks(
    world: Any, settings: Settings, sales: Any, run_dealflow: Any, tmp_path: Any
) -> None:
    """A variable without a value: one line that names it, exit 1, no file."""
    deal_id = await sales.deal("development", proposal=False, dealflow_need="")
    out = tmp_path / "none.pdf"

    done = run_dealflow(
        "proposal",
        "render",
        "--deal",
        deal_id,
        "--out",
        str(out),
        DEALFLOW_HOME=str(tmp_path / "other"),
        DEALFLOW_HUBSPOT_BASE_URL=settings.hubspot_base_url,
        DEALFLOW_HUBSPOT_TOKEN="t",
        DEALFLOW_DROPBOX_SIGN_API_KEY="k",
    )

    assert done.returncode == 1 and not out.exists()
    assert "dealflow_need" in done.stderr and "Traceback" not in done.stderr
