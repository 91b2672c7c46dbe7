"""Finds and parses the files an operator edits; returns plain mappings. Their meaning is defined elsewhere."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from config.errors import ConfigError


class ConfigFileError(ConfigError):
    """A file is missing or not readable as YAML. The text names the file and, where known, line and column."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.line = line


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Only `true` and `false` are booleans: the country code NO stays a text.

    Raises ConfigFileError: the file is missing, is not UTF-8, is not YAML, repeats a key, or has no mapping at the top.
    """
    text = _text(path)
    try:
        content = _parsed(text)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        if str(getattr(problem, "context", "")).startswith(_BEGINS):
            mark = getattr(problem, "context_mark", None) or mark
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(problem, "problem", None) or "it contains a character that YAML does not allow"
        hint = next((f" ({hint})" for start, hint in _HINTS.items() if what.startswith(start)), "")
        line = mark.line + 1 if mark else None
        raise ConfigFileError(f"{path}{place}: not valid YAML: {what}{hint}", line) from None
    if not isinstance(content, dict):
        raise ConfigFileError(f"{path}: expected a mapping at the top, found {type(content).__name__}")
    return content


def line_of(path: Path, place: Sequence[str | int]) -> int | None:
    """The line (from 1) where a place in the file begins, e.g. ("stages", 0, "label"); None when it cannot be read.

    Steps that the file does not have are skipped: the nearest enclosing place counts.
    """
    try:
        node = yaml.compose(_text(path), _Loader)
    except (yaml.YAMLError, ConfigFileError):
        return None
    if node is None:
        return None
    line: int = node.start_mark.line
    for step in place:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    line, node = key.start_mark.line, value
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
    return line + 1


_BEGINS = ("while scanning a simple key", "while scanning a quoted", "while parsing a flow")
"""Errors that the parser reports late: the mistake is where the key, quote or bracket begins."""
_HINTS = {
    "mapping values are not allowed": "a text with a colon in it needs quotes",
    "found character '\\t'": "indent with spaces, not with tabs",
    "found character": "a text that begins with this character needs quotes",
    "could not find expected ':'": "a key is followed by a colon and a space",
    "expected <block end>": "check the indentation of this line and of the lines above it",
    "expected ',' or": "a bracket that begins here is not closed",
    "found unexpected end of stream": "a quote that begins here is not closed",
    "found undefined alias": "a text that begins with * needs quotes",
    "while scanning": "check the quotes and brackets here",
}
"""The beginning of the YAML parser's message -> the usual cause."""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigFileError(f"{path}: is not UTF-8 text") from None
    except OSError as problem:
        raise ConfigFileError(f"{path}: cannot be read ({problem.strerror})") from None


def _parsed(text: str) -> Any:
    """With libyaml where it is there, ten times as fast. It words mistakes differently: PyYAML has the last word."""
    if "\t" in text:  # libyaml takes tabs where YAML, and PyYAML, do not
        return yaml.load(text, _Loader)  # noqa: S506
    try:
        return yaml.load(text, _FastLoader)  # noqa: S506  (safe loaders with fewer switches, both)
    except yaml.YAMLError:
        return yaml.load(text, _Loader)  # noqa: S506


class _NoKeyTwice(yaml.constructor.SafeConstructor):
    """Refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a repeated key: the later one would silently win."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is here for the second time", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Loader(_NoKeyTwice, yaml.SafeLoader):
    """YAML's safe types, with true and false as the only switches, and no key twice."""


class _FastLoader(_NoKeyTwice, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same through libyaml."""


_BOOL = "tag:yaml.org,2002:bool"
for _loader in (_Loader, _FastLoader):
    _loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
