"""Finds and parses the files an operator edits; returns plain mappings. What they mean is decided elsewhere."""

from pathlib import Path
from typing import Any

import yaml


class ConfigFileError(Exception):
    """A file is missing or not readable as YAML. The text names the file and, where known, line and column."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigFileError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigFileError(f"{path}: cannot be read ({problem.strerror})") from None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigFileError(
            f"{path}{place}: not valid YAML: {getattr(problem, 'problem', problem)}"
        ) from None
    if not isinstance(content, dict):
        raise ConfigFileError(f"{path}: expected a mapping at the top, found {type(content).__name__}")
    return content
