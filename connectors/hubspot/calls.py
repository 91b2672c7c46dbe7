"""The base of all families of HubSpot calls: versions, paths, pacing lane, and parsing of answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from connectors.http.errors import ConnectorError, UnreadableAnswerError
from connectors.http.exchange import Answer, Exchange
from connectors.http.pacing import Lane
from connectors.hubspot.lenient_json import identifier, items, mapping, whole
from connectors.hubspot.records import RowError
from connectors.hubspot.statuses import read_detail

Parsed = TypeVar("Parsed")
Item = TypeVar("Item")

# Inputs per call. Sources: CRM object, association guides and live notes, read 2026-11-22.
BATCH = 100
BATCH_WITH_HISTORY = 50
ASSOCIATION_READ = 1000
ASSOCIATION_WRITE = 2000


@dataclass(frozen=True)
class Versions:
    """The dated API version per route family. 2026-03 is frozen and supported until September 2027.

    Source: developers.hubspot.com/docs/developer-tooling/platform/versioning, read 2026-11-22.
    """

    objects: str = "2026-03"
    associations: str = "2026-03"
    properties: str = "2026-03"
    pipelines: str = "2026-03"
    owners: str = "2026-03"
    files: str = "2026-03"
    account: str = "2026-03"


class Calls:
    """Base of the call families; holds no state of its own beyond the exchange, versions and lane."""

    def __init__(self, exchange: Exchange, versions: Versions, lane: Lane) -> None:
        self._exchange = exchange
        self._versions = versions
        self._lane = lane

    async def _get(self, operation: str, path: str, params: Mapping[str, str] | None = None) -> Answer:
        return await self._exchange.call(
            operation, "GET", path, write=False, params=params, buckets=("burst",), lane=self._lane
        )

    async def _send(
        self,
        operation: str,
        method: str,
        path: str,
        body: object,
        *,
        write: bool,
        expect: Sequence[int],
        bucket: str | None = None,
    ) -> Answer:
        buckets = ("burst",) if bucket is None else ("burst", bucket)
        return await self._exchange.call(
            operation,
            method,
            path,
            write=write,
            expect=expect,
            json_body=body,
            buckets=buckets,
            lane=self._lane,
        )


def path(*parts: str) -> str:
    """A path from raw parts, each escaped. Raises ValueError for an empty part (it would change the
    route)."""
    if not all(parts):
        raise ValueError("an empty id or type cannot be part of a path")
    return "/" + "/".join(quote(part, safe="") for part in parts)


def parsed(answer: Answer, parse: Callable[[object], Parsed]) -> Parsed:
    """Parse the answer; an UnreadableAnswerError gets this call's name, status and `applied`."""
    data = answer.json()
    try:
        return parse(data)
    except UnreadableAnswerError as error:
        answer.not_understood(error.detail)


def results(answer: Answer) -> list[Any]:
    """The `results` array of an answer. Raises UnreadableAnswerError when there is none."""
    data = answer.json()
    if not isinstance(data, dict) or not isinstance(data.get("results"), list):
        answer.not_understood("no results in the answer")
    found: list[Any] = data["results"]
    return found


def parsed_rows(answer: Answer, parse: Callable[[object], Parsed]) -> tuple[Parsed, ...]:
    """Parse each of the answer's `results`. Raises UnreadableAnswerError as `parsed` and `results` do."""
    rows = results(answer)
    return parsed(answer, lambda _: tuple(parse(row) for row in rows))


def row_error(data: object) -> RowError:
    """One entry of a 207's `errors`."""
    row = mapping(data)
    detail = read_detail({**row, "errors": [row, *items(row.get("errors"))]})
    return RowError(
        category=detail.category,
        status=whole(row.get("status")),
        properties=detail.properties,
        existing_id=detail.existing_id,
    )


def context_values(data: object, key: str) -> tuple[str, ...]:
    """Values of `key` in a 207 error's context (a list, or a single value)."""
    value = mapping(mapping(data).get("context")).get(key)
    values = value if isinstance(value, list) else [value]
    return tuple(one for one in map(identifier, values) if one)


def chunks(values: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of at most `size`, in order."""
    batch: list[Item] = []
    for value in values:
        batch.append(value)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class SomeDone:
    """Marks an error as "may have taken effect" when earlier chunks of the same call were already applied."""

    def __init__(self) -> None:
        self.chunks = 0

    def __enter__(self) -> "SomeDone":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConnectorError) and self.chunks:
            error.applied = "maybe"
