"""The list's query language: fields, phrases, AND, OR, brackets, date ranges, trailing wildcards.

Source: developers.hellosign.com/api/reference/search (facts of 2026-11-22). Our guesses where the
page does not say: two adjacent terms mean AND; words break at everything but letters and digits, and
a value of several words must be found in that order.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from connectors.sandbox.dropbox_sign_server.errors import bad
from connectors.sandbox.dropbox_sign_server.records import SignatureRequest

Test = Callable[[SignatureRequest], bool]
_TOKEN = re.compile(
    r"""\s*(?:(?P<bracket>[()])
    |(?:(?P<field>[a-z_]+):)?(?:"(?P<phrase>[^"]*)"|(?P<range>[\[{][^\]}]*[\]}])|(?P<word>[^\s()"]+)))""",
    re.VERBOSE,
)
_BARE = ("to", "from", "title", "subject", "message", "metadata", "filename")


def compile_query(query: str, me: str) -> Test:
    """A test for requests. `me` is the account's e-mail address. Raises VendorError (400) for bad syntax."""
    tokens = _tokens(query)
    parser = _Parser(tokens, me)
    test = parser.either()
    if parser.at != len(tokens):
        raise _unreadable()
    return test


def _tokens(query: str) -> list[re.Match[str]]:
    found, at, end = [], 0, len(query.rstrip())
    while at < end:
        match = _TOKEN.match(query, at)
        if match is None:
            raise _unreadable()
        found.append(match)
        at = match.end()
    if not found:
        raise _unreadable()
    return found


class _Parser:
    def __init__(self, tokens: list[re.Match[str]], me: str) -> None:
        self._tokens = tokens
        self._me = me
        self.at = 0

    def either(self) -> Test:
        parts = [self._both()]
        while self._word() == "OR":
            self.at += 1
            parts.append(self._both())
        return lambda request: any(part(request) for part in parts)

    def _both(self) -> Test:
        parts = [self._one()]
        while self.at < len(self._tokens) and self._word() != "OR" and self._bracket() != ")":
            if self._word() == "AND":
                self.at += 1
            parts.append(self._one())
        return lambda request: all(part(request) for part in parts)

    def _one(self) -> Test:
        if self.at >= len(self._tokens) or self._word() in ("AND", "OR") or self._bracket() == ")":
            raise _unreadable()
        token = self._tokens[self.at]
        self.at += 1
        if token["bracket"]:
            inner = self.either()
            if self._bracket() != ")":
                raise _unreadable()
            self.at += 1
            return inner
        if token["range"] or token["field"] == "created":
            return _created(token)
        value = token["phrase"] if token["phrase"] is not None else token["word"]
        if value.startswith(("*", "?")):
            raise bad("A query must not start with a wildcard", "query")
        return _matches([token["field"]] if token["field"] else list(_BARE), value, self._me)

    def _word(self) -> str | None:
        token = self._tokens[self.at] if self.at < len(self._tokens) else None
        return token["word"] if token is not None and token["field"] is None else None

    def _bracket(self) -> str | None:
        return self._tokens[self.at]["bracket"] if self.at < len(self._tokens) else None


def _matches(fields: list[str], value: str, me: str) -> Test:
    prefix = value.endswith("*")
    wanted = _words(value.rstrip("*"))

    def test(request: SignatureRequest) -> bool:
        for name in fields:
            needle = _words(me) if value == "me" and name in ("to", "from") else wanted
            if any(_holds(_words(text), needle, prefix) for text in _texts(request, name, me)):
                return True
        return False

    return test


def _texts(request: SignatureRequest, name: str, me: str) -> list[str]:
    draft = request.draft
    match name:
        case "to":
            return [text for s in draft.signatures for text in (s.email, s.name)]
        case "from":
            return [me]
        case "title" | "subject" | "message":
            return [str(getattr(draft, name) or "")]
        case "metadata":
            return [text for k, v in draft.metadata.items() for text in (k, str(v))]
        case "filename":
            return [file.name for file in draft.files]
        case "test_mode":
            return ["true" if draft.test_mode else "false"]
        case "complete":
            return ["true" if request.phase == "complete" else "false"]
        case _:
            return []


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _holds(text: list[str], needle: list[str], prefix: bool) -> bool:
    if not needle:
        return False
    for at in range(len(text) - len(needle) + 1):
        piece = text[at : at + len(needle)]
        last = piece[-1].startswith(needle[-1]) if prefix else piece[-1] == needle[-1]
        if piece[:-1] == needle[:-1] and last:
            return True
    return False


def _created(token: re.Match[str]) -> Test:
    text = token["range"]
    if token["field"] != "created":
        raise bad("A range needs the field created", "query")
    if text is None:
        low = _day(token["phrase"] if token["phrase"] is not None else token["word"])
        return lambda request: low.timestamp() <= request.created_s < (low + timedelta(days=1)).timestamp()
    parts = re.split(r"\s+TO\s+", text[1:-1].strip())
    if len(parts) != 2:
        raise _unreadable()
    start = float("-inf") if parts[0] == "*" else _day(parts[0]).timestamp()
    end = float("inf") if parts[1] == "*" else _day(parts[1]).timestamp()
    day = 86_400 if len(parts[1]) == 10 else 1
    # Whole days: an inclusive end includes its day, an exclusive start excludes its day.
    if text[0] == "{" and start != float("-inf"):
        start += 86_400 if len(parts[0]) == 10 else 1
    if text[-1] == "]":
        end += day
    return lambda request: start <= request.created_s < end


def _day(text: str) -> datetime:
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        at = datetime.fromisoformat(text)
    except ValueError as problem:
        raise bad("A date in the query cannot be read", "query") from problem
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _unreadable() -> Exception:
    return bad("The query cannot be read", "query")
