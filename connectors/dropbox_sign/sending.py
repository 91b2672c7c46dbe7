"""What to send: frozen descriptions of a signature request, checked before anything leaves the house.

Limits (title and subject 255, message 5,000, ten metadata keys of 40 and values of 1,000 characters, expiry
1 to 90 days ahead): the vendor's OpenAPI document of September 2025 and its expiration guide, read
2026-11-22.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectors.dropbox_sign.records import UNCONFIRMED, RequestWarning


@dataclass(frozen=True)
class Signer:
    """Who signs. order counts from 0; None for all: everyone is asked at once."""

    name: str = field(repr=False)
    email: str = field(repr=False)
    order: int | None = None


@dataclass(frozen=True)
class RoleSigner:
    """Who signs in a template's role (case-sensitive); the order comes from the template."""

    role: str
    name: str = field(repr=False)
    email: str = field(repr=False)


@dataclass(frozen=True)
class SendRequest:
    """A contract with our own PDF. expires_at: Unix seconds, the vendor rounds down to the hour.

    Without text tags in the PDF the vendor appends a signature page. test_mode requests are not binding.
    """

    title: str
    subject: str
    message: str
    signers: tuple[Signer, ...] = field(repr=False)
    pdf: bytes = field(repr=False)
    filename: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    test_mode: bool = False
    cc: tuple[str, ...] = field(default=(), repr=False)
    expires_at: int | None = None
    allow_decline: bool = True
    use_text_tags: bool = True
    hide_text_tags: bool = False
    client_id: str | None = None

    def __post_init__(self) -> None:
        _check_common(self.title, self.subject, self.message, self.metadata)
        if not self.signers:
            raise ValueError("a contract needs a signer")
        if not self.pdf.startswith(b"%PDF"):
            raise ValueError("the contract is no PDF")
        if not self.filename.lower().endswith(".pdf") or "/" in self.filename or "\\" in self.filename:
            raise ValueError("the file name must be plain and end in .pdf")


@dataclass(frozen=True)
class TemplateRequest:
    """A contract from a Dropbox Sign template. fields: merge-field name to value (a name that the template
    does not know stays blank without an error); ccs: role to address. A template send takes no expiry:
    update it after.
    """

    template_id: str
    title: str
    subject: str
    message: str
    signers: tuple[RoleSigner, ...] = field(repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    ccs: Mapping[str, str] = field(default_factory=dict, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict)
    test_mode: bool = False
    allow_decline: bool = True
    client_id: str | None = None

    def __post_init__(self) -> None:
        _check_common(self.title, self.subject, self.message, self.metadata)
        if not self.template_id or not self.signers:
            raise ValueError("a template send needs a template and a signer")


@dataclass(frozen=True)
class Sent:
    """The vendor took the request. on_hold: it asked nobody yet, because our sender address is not confirmed.

    expires_at is what the vendor echoed (aware UTC); raw_status the HTTP status.
    """

    signature_request_id: str
    warnings: tuple[RequestWarning, ...]
    expires_at: datetime | None
    raw_status: int

    @property
    def on_hold(self) -> bool:
        """Treat as a failed send that can still be cancelled."""
        return any(one.name == UNCONFIRMED for one in self.warnings)


def _check_common(title: str, subject: str, message: str, metadata: Mapping[str, str]) -> None:
    if len(title) > 255 or len(subject) > 255:
        raise ValueError("title and subject hold at most 255 characters")
    if len(message) > 5000:
        raise ValueError("the message holds at most 5,000 characters")
    if len(metadata) > 10:
        raise ValueError("at most ten metadata keys")
    if any(len(key) > 40 or len(value) > 1000 for key, value in metadata.items()):
        raise ValueError("metadata keys hold at most 40 characters, values 1,000")
