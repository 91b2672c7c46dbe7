"""Whether a template's declaration, layout and wording agree: every disagreement, before any render."""

import re
from collections.abc import Mapping
from typing import Final

from flows.rules.templates.declaration import BUILT_IN, NAME, RefuseRule, TemplateDeclaration

PLACEHOLDER: Final = re.compile(r"\{(" + NAME + r")\}")
"""A variable inside the title or the words."""


def check_template(
    declaration: TemplateDeclaration, sources: Mapping[str, str], words: Mapping[str, object] | None = None
) -> tuple[str, ...]:
    """Every disagreement between the declaration, the layout (`sources`: Typst file -> text) and the wording.

    Variables are used as `values.NAME` in Typst and as `{NAME}` in the title and the words. Also found:
    tables or signers declared and not laid out (or the reverse), packages from the network, and code made
    from text.
    """
    code = {name: _without_comments(text) for name, text in sources.items()}
    whole = "\n".join(code.values())
    used = set(re.findall(rf"\bvalues\.({NAME})", whole)) - {"at"}
    used |= set(re.findall(rf"\bvalues\.at\(\s*\"({NAME})\"", whole))
    used |= (placeholders(declaration.title) | placeholders(words)) - BUILT_IN
    used |= {name for signer in declaration.signers for name in (signer.name, signer.title) if name}
    declared = set(declaration.variables)
    problems = [f"{name} is used but not declared under variables" for name in sorted(used - declared)]
    problems += [f"{name} is declared but nowhere used" for name in sorted(declared - used)]
    problems += [f"{name} is a reserved name" for name in sorted(declared & BUILT_IN)]
    problems += _check_parts(declaration, whole) + _check_rules(declaration)
    for name, text in code.items():
        problems += [f"{name}: {problem}" for problem in _check_code(text)]
    return tuple(problems)


def placeholders(words: object) -> set[str]:
    """All `{NAME}` in a text, or in every text of nested mappings and lists."""
    if isinstance(words, str):
        return set(PLACEHOLDER.findall(words))
    if isinstance(words, Mapping):
        return {name for one in words.values() for name in placeholders(one)}
    if isinstance(words, list | tuple):
        return {name for one in words for name in placeholders(one)}
    return set()


def _check_parts(declaration: TemplateDeclaration, code: str) -> list[str]:
    problems = []
    for part, declared in (
        ("pricing", "pricing" in declaration.tables),
        ("signers", bool(declaration.signers)),
    ):
        laid_out = re.search(rf"\b{part}\b", code) is not None
        if declared and not laid_out:
            problems.append(f"{part} is declared but the layout never shows it")
        if laid_out and not declared:
            problems.append(f"the layout shows {part}, which is not declared")
    roles = [signer.role for signer in declaration.signers]
    problems += [
        f"signer role {role} occurs twice" for role in sorted({one for one in roles if roles.count(one) > 1})
    ]
    return problems


def _check_rules(declaration: TemplateDeclaration) -> list[str]:
    problems = []
    for rule in declaration.refuse:
        try:
            re.compile(rule.pattern if isinstance(rule, RefuseRule) else "")
        except re.error:
            problems.append(f"refuse rule {getattr(rule, 'name', rule)} has an unreadable pattern")
    return problems


def _check_code(code: str) -> list[str]:
    problems = []
    if re.search(r"\"@", code):
        problems.append("imports a package from the network; put the file beside the template")
    if re.search(r"#?\b(?:import|include)\s+(?!\"[^\"@]*\"\s*(?:[:;\n]|as\b|$))", code):
        problems.append("imports something that is not a plain file name")
    if re.search(r"\beval\s*\(", code):
        problems.append("calls eval, which would run a value as code")
    if re.search(r"\bvalues\.(?:keys|values|pairs|len)\(|\bvalues\.at\(\s*[^\"\s]", code):
        problems.append("reads values other than by name, so that nobody can tell which are used")
    return problems


def _without_comments(code: str) -> str:
    code = re.sub(r"/\*.*?\*/", " ", code, flags=re.DOTALL)
    return re.sub(r"(?<!:)//[^\n]*", "", code)
