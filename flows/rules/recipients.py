"""Whom a follow-up may be mailed to: nobody who does not want it, whom it cannot reach, or who is one of ours."""

from collections.abc import Collection, Mapping


def why_not_mail(
    contact_id: str, properties: Mapping[str, str | None], *, ours: Collection[str]
) -> str | None:
    """Why this contact gets no e-mail (no personal data), or None. `ours`: our own addresses, in small letters."""
    address = (properties.get("email") or "").strip().lower()
    who = f"contact {contact_id}"
    if not address:
        return f"{who} has no e-mail address"
    if address in ours:
        return f"{who} is one of our own"
    if properties.get("hs_email_optout") == "true":
        return f"{who} has opted out of e-mail"
    if properties.get("hs_email_bad_address") == "true" or properties.get("hs_email_hard_bounce_reason_enum"):
        return f"mail to {who} has bounced: correct the address in HubSpot"
    return None
