"""`GET /deals/{id}`: why a deal may or may not be in a stage, read fresh from HubSpot. No scripts; needs a login."""

import asyncio
from dataclasses import dataclass

from config.settings import Settings, SettingsError
from connectors.http.errors import ConnectorError
from flows.gates.explain import Explained, ExplainError, explain_deal
from flows.gateway.ops_page import pages
from flows.ledger.database import LedgerError
from flows.rules.process.sales_process import SalesProcess
from flows.services import SetupError, open_services


@dataclass(frozen=True)
class Page:
    """HTML and HTTP status."""

    html: str
    status: int = 200


class DealPage:
    """Renders pages one after another, each with its own clients in its own thread.

    The event loop of this process acknowledges deliveries: rendering a page must never delay them.
    """

    def __init__(self, settings: Settings, process: SalesProcess) -> None:
        self._settings = settings
        self._process = process
        self._turn = asyncio.Lock()

    async def render(self, deal_id: str, stage: str | None) -> Page:
        """The page; everything shown is escaped. 404 for an unknown deal or stage, 502 or 503 when HubSpot fails."""
        async with self._turn:
            found = await asyncio.to_thread(asyncio.run, self._look(deal_id, stage))
        if isinstance(found, Page):
            return found
        template = pages().get_template("deal.html")
        return Page(template.render(one=found, why=found.explanation, process=self._process))

    async def _look(self, deal_id: str, stage: str | None) -> Explained | Page:
        try:
            s = await open_services(self._settings)
        except (SettingsError, LedgerError) as problem:
            return _sorry(str(problem), 503)
        try:
            return await explain_deal(s, deal_id, stage)
        except ExplainError as problem:
            return _sorry(str(problem), 404)
        except SetupError as problem:
            return _sorry(str(problem), 503)
        except ConnectorError as problem:
            return _sorry(str(problem), 502)
        finally:
            await s.close()


def _sorry(why: str, status: int) -> Page:
    return Page(pages().get_template("sorry.html").render(why=why), status)
