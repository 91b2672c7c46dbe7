"""HTML pages of the stand-ins for people: one style, everything escaped, no scripts, nothing fetched."""

from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_SHARED = Path(__file__).parent / "layouts"
_HEADERS = {
    # The pages show foreign text: even if an escape were missing, nothing would run or be fetched.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page(folder: Path, template: str, /, *, status: int = 200, **data: Any) -> HTMLResponse:
    """Render `template` from `folder/layouts` or the shared folder with `data`.

    Raises jinja2.UndefinedError when the template uses a name that is not in `data`.
    """
    text = _environment(folder / "layouts").get_template(template).render(**data)
    return HTMLResponse(text, status_code=status, headers=_HEADERS)


@cache
def _environment(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader([folder, _SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
