"""What else could help a buyer: products that others who bought the same have, and this one has not."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_FEWEST = 2  # one other buyer says nothing
_MOST = 5


@dataclass(frozen=True)
class Sale:
    """A won deal. `buyers`: ids of its companies, the deal's own id where it has none; `products`: key -> name."""

    deal_id: str
    buyers: frozenset[str]
    products: Mapping[str, str]


@dataclass(frozen=True)
class Suggestion:
    """`have` of `of` buyers who bought something of the same have this, too."""

    name: str
    have: int
    of: int


def sale(deal_id: str, companies: Iterable[str], line_items: Iterable[Mapping[str, str | None]]) -> Sale:
    """A deal's companies and line items as a sale; a product is known by its SKU, else by its name."""
    products: dict[str, str] = {}
    for item in line_items:
        name = " ".join((item.get("name") or "").split())
        if key := (item.get("hs_sku") or name).strip().casefold():
            products.setdefault(key, name or key)
    return Sale(deal_id, frozenset(companies) or frozenset({f"deal {deal_id}"}), products)


def also_bought(mine: Sale, sales: Iterable[Sale]) -> tuple[Suggestion, ...]:
    """What most others have comes first; what this buyer has bought at any time is left out."""
    owned = set(mine.products)
    baskets: dict[str, dict[str, str]] = {}
    for other in sales:
        if other.buyers & mine.buyers:
            owned |= other.products.keys()
            continue
        for buyer in sorted(other.buyers):
            baskets.setdefault(buyer, {}).update(other.products)
    alike = [basket for basket in baskets.values() if basket.keys() & mine.products.keys()]
    names = {key: name for basket in alike for key, name in sorted(basket.items())}
    counts = Counter(key for basket in alike for key in basket if key not in owned)
    ranked = sorted((-n, names[key], key) for key, n in counts.items() if n >= _FEWEST)
    return tuple(Suggestion(name, -n, len(alike)) for n, name, _ in ranked[:_MOST])
