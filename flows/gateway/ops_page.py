"""`GET /`: the pipeline, contracts in flight and the inbox on one page; `GET /deals`: deals without proof, from the
last list. No scripts; both need a login.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from config.settings import Settings
from flows.gates.report import sentence_of, supplier
from flows.gateway.app_data import Overview, overview, unproven
from flows.ledger.database import Ledger
from flows.rules.process.sales_process import SalesProcess

_PAGES = Path(__file__).parent / "pages"


def _ago(moment: datetime | None, now: datetime) -> str:
    """How long ago (or ahead), in a suitable unit."""
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    size = abs(seconds)
    for limit, unit in ((90, 1), (5400, 60), (129600, 3600)):
        if size < limit:
            text = f"{size / unit:.0f} {({1: 's', 60: 'min', 3600: 'h'})[unit]}"
            break
    else:
        text = f"{size / 86400:.0f} d"
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def pages() -> jinja2.Environment:
    """The gateway's page templates; everything they show is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["who"] = supplier
    return environment


async def render(settings: Settings, process: SalesProcess, ledger: Ledger, now: datetime) -> str:
    """The page as HTML; everything shown is escaped."""
    environment = _pages_at(now)
    data: Overview = await overview(process, ledger, now)
    links: Mapping[str, Any] = {
        "deal": f"{settings.hubspot_app_url}/contacts/{data.portal_id}/record/0-3/",
        "request": f"{settings.dropbox_sign_app_url}/home/manage?guid=",
    }
    labels = {stage.key: stage.label for stage in process.stages}
    return environment.get_template("ops.html").render(
        data=data, process=process, now=now, links=links, labels=labels
    )


async def render_unproven(process: SalesProcess, ledger: Ledger, now: datetime) -> str:
    """The list of deals without proof as HTML: stored by the daily flow, not read now."""
    template = _pages_at(now).get_template("deals.html")
    return template.render(found=await unproven(ledger), process=process, said=sentence_of(process))


def _pages_at(now: datetime) -> jinja2.Environment:
    environment = pages()
    environment.filters["ago"] = lambda moment: _ago(moment, now)
    return environment
