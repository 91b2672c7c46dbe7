"""Numbers of things, as people write them."""


def number_of(count: int, noun: str) -> str:
    """`1 line item`, `2 line items`; of `call or meeting` both are counted: `2 calls or meetings`."""
    return f"{count} {noun if count == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """More than one of it."""
    return " or ".join(f"{word}s" for word in noun.split(" or "))
