"""A follow-up whose worker dies before or after any commit: the next try does everything once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from connectors.mail.client import MailClient
from flows.follow_up import follow_up
from flows.ledger import effects, follow_ups
from flows.ledger.database import Ledger
from flows.processes import FOLLOW_UP_DUE
from flows.services import Services
from tests.mail_server import MailServer, make_server, server, trust

__all__ = ["make_server", "server", "trust"]
pytestmark = pytest.mark.slow


class Died(BaseException):
    """The process was killed here."""


class DyingLedger(Ledger):
    """The ledger of a process that dies at its nth commit, before or after it."""

    def __init__(self, ledger: Ledger, nth: int, when: str) -> None:
        super().__init__(ledger.engine, ledger.url)
        self.left, self.when = nth, when

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Commit normally, until the nth."""
        self.left -= 1
        dies = self.left == 0
        async with super().write() as tx:
            yield tx
            if dies and self.when == "before":
                raise Died
        if dies:
            raise Died


def impatient(s: Services) -> Services:
    """Whose process flags a deal with its first follow-up, so that all steps are taken at once."""
    stages = [
        stage.model_copy(update={"follow_up": stage.follow_up.model_copy(update={"flag_after": 1})})
        if stage.follow_up
        else stage
        for stage in s.process.stages
    ]
    return replace(s, process=s.process.model_copy(update={"stages": tuple(stages)}))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", ["hubspot", "smtp"])
async def test_killed_at_every_commit(
    world: Any, desk: Any, sales: Any, server: MailServer, how: str, when: str
) -> None:
    """One task, one draft and one flag, whenever it dies. Over SMTP never two e-mails: one sent or quarantined."""
    s = desk.s = impatient(desk.s)
    if how == "smtp":
        s.settings = s.settings.model_copy(update={"follow_up_email": "smtp"})
        s.mail = MailClient(server.host, server.port, from_address="sales@seller.example", tls="off")
    deaths = quarantined = 0
    for nth in range(1, 40):
        server.taken.clear()
        contact = {"email": f"ada{nth}@buyer{nth}.example", "firstname": "Ada", "lastname": "Byron"}
        deal_id = await sales.deal("qualification", dealflow_need="", contact=contact)
        event_id = await desk.record(FOLLOW_UP_DUE, deal_id, source="operator", content={"by": "operator"})
        (event,) = await desk.claim([event_id])
        mortal = replace(s, ledger=DyingLedger(s.ledger, nth, when))
        try:
            await follow_up.handle(event, await follow_up.prepare([event], mortal), mortal)
        except Died:
            deaths += 1
            end = await follow_up.handle(event, await follow_up.prepare([event], s), s)
            assert end.state in ("done", "ignored") or how == "smtp", (nth, end)
        else:
            break
        links = world.record("deals", deal_id)["associations"]
        assert len(links.get("tasks", [])) == 1, nth
        assert world.record("deals", deal_id)["properties"]["dealflow_flag"] == "tire_kicker: need_stated"
        async with s.ledger.read() as tx:
            (row,) = (await follow_ups.of_deals(tx, [deal_id]))[deal_id]
            doubtful = await effects.listing(tx, states=("quarantined",), deal_id=deal_id)
        assert row.ended_at is not None and row.flagged
        if how == "hubspot":
            assert len(links.get("emails", [])) == 1 and row.email_id and not doubtful, nth
        else:
            quarantined += len(doubtful)
            assert len(server.taken) <= 1, nth
            assert len(server.taken) == 1 or doubtful, nth
            assert len(links.get("notes", [])) == (0 if doubtful else 1), nth
    assert deaths > 7, "the steps were not reached"
    assert (quarantined > 0) == (how == "smtp"), "a death while it was being sent leaves doubt"
