"""Where the vendor sends its callbacks: it may clear the address after ten failures in a row, without a word."""

import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

from flows.contracts.esign import AccountFacts, nothing_to_check
from flows.retries import repeating
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


def wrong_urls(s: Services, account: AccountFacts) -> list[WrongUrl]:
    """Which callback addresses are not ours. An optional place without one is well."""
    wanted = wanted_url(s)
    return [
        WrongUrl(place.of, place.url)
        for place in account.callback_urls
        if place.url != wanted and not (place.optional and place.url is None)
    ]


def may_restore(s: Services) -> bool:
    """Whether we may set the account's address: asked for, and one that the vendor can call (a stand-in on this
    machine calls any).
    """
    settings = s.settings
    callable_from_there = settings.public_url.startswith("https://")
    stand_in = urlsplit(settings.dropbox_sign_base_url).hostname in _LOOPBACK
    return settings.dropbox_sign_callback == "restore" and (callable_from_there or stand_in)


async def restore(s: Services) -> None:
    """Set the account's address to ours. It names no deal and may be repeated without harm, so it is no effect."""
    await repeating(lambda: s.esign.set_callback_url(wanted_url(s), before_send=nothing_to_check))
    log.warning("the account's callback URL was empty and is set again")
