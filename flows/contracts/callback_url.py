"""Where Dropbox Sign sends its callbacks: it clears the address after ten failures in a row, and tells nobody."""

import asyncio
import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

from connectors.dropbox_sign.records import Account
from flows.retries import reading, repeating
from flows.services import Services

log = logging.getLogger(__name__)

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class WrongUrl:
    """`of` the account or the API app; `url` is what is set there, None when nothing is."""

    of: str
    url: str | None


def wanted_url(s: Services) -> str:
    """The address at which our gateway takes callbacks."""
    return f"{s.settings.base_url}/webhooks/dropbox-sign"


async def wrong_urls(s: Services, account: Account) -> list[WrongUrl]:
    """Which callback addresses are not ours. An API app without one is well: the account's is told of everything.

    Raises the vendor's error when the API app cannot be read.
    """
    wanted = wanted_url(s)
    wrong = [] if account.callback_url == wanted else [WrongUrl("account", account.callback_url)]
    client_id = s.settings.dropbox_sign_client_id
    if client_id:
        app = await reading(lambda: s.dropbox_sign.api_app(client_id))
        if app.callback_url not in (None, wanted):
            wrong.append(WrongUrl("API app", app.callback_url))
    return wrong


def may_restore(s: Services) -> bool:
    """Whether we may set the account's address: asked for, and one that Dropbox Sign can call (a stand-in on this
    machine calls any).
    """
    settings = s.settings
    callable_from_there = settings.public_url.startswith("https://")
    stand_in = urlsplit(settings.dropbox_sign_base_url).hostname in _LOOPBACK
    return settings.dropbox_sign_callback == "restore" and (callable_from_there or stand_in)


async def restore(s: Services) -> None:
    """Set the account's address to ours. It names no deal and may be repeated without harm, so it is no effect."""

    async def once() -> None:
        await s.sign_pace.wait(("standard",))
        await asyncio.to_thread(s.sender.set_account_callback, wanted_url(s))

    await repeating(once)
    log.warning("the account's callback URL was empty and is set again")
