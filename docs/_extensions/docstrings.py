"""Docstrings as the package writes them, made readable for Sphinx.

Formulas are indented blocks of plain text, which stay as they are; in the rest a `|`, a `*` and a
final `_` are mathematics, not markup. What a Keras class has to have is left out.
"""

import re
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import signature, stringify_signature

HEADER = re.compile(r"[A-Z][a-z]+( [a-z]+)*:$")
MARKUP = re.compile(r"(`[^`]*`)|([|*]|(?<=\w)_(?!\w))")
PLUMBING = {
    "build",
    "build_from_config",
    "call",
    "compute_mask",
    "compute_output_shape",
    "compute_output_spec",
    "from_config",
    "get_build_config",
    "get_compile_config",
    "compile_from_config",
    "get_config",
    "reset_state",
    "update_state",
    "result",
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Prepare the docstrings, before napoleon reads their sections."""
    app.connect("autodoc-process-docstring", _prepare, priority=400)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _prepare(
    app: Sphinx, what: str, name: str, member: Any, options: Any, lines: list[str]
) -> None:
    lines[:] = _with_formulas(lines)


def _signature(
    app: Sphinx, what: str, name: str, member: Any, options: Any, *texts: str
) -> tuple[str, str] | None:
    """Return the signature of a class's constructor: Keras's `__new__` would hide it."""
    if what != "class":
        return None
    found = signature(member.__init__, bound_method=True)
    *parameters, last = found.parameters.values()
    if last.kind is last.VAR_KEYWORD:  # whose type holds what the signature spells out
        last = last.replace(annotation=last.empty)
    found = found.replace(parameters=[*parameters, last])
    return stringify_signature(found, unqualified_typehints=True, show_return_annotation=False), ""


def _with_formulas(lines: list[str]) -> Iterator[str]:
    """Yield the lines, formulas as literal blocks and all else escaped."""
    in_formula, in_section, previous = False, False, ""
    for line in lines:
        is_indented = line.startswith("    ")
        if line and not is_indented:
            in_formula, in_section = False, bool(HEADER.match(line))
        elif is_indented and not previous and not in_section and not in_formula:
            in_formula = True
            yield from (".. code-block:: text", "")
        is_code = in_formula or line.lstrip().startswith((">>>", "..."))
        yield line if is_code else _escaped(line)
        previous = line


def _escaped(line: str) -> str:
    if line.lstrip().startswith("**kwargs"):
        return line
    return MARKUP.sub(lambda found: found[1] or "\\" + found[2], line)


def _skip(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    return True if name in PLUMBING else None
