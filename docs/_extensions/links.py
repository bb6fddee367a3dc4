"""Links: from public names in code, `ks.layers.DropMax`, and to pages that are included here."""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from .coverage import public_names

logger = logging.getLogger(__name__)

INCLUDED = re.compile(r"\]\((?:\.\./)+benchmarks/README\.md")
FULL_NAME = re.compile(r"(?:ks|keras_softmaxes)\.([a-z]+\.(\w+))")


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform."""
    app.add_transform(LinkPublicNames)
    app.connect("source-read", _link_included)
    app.connect("doctree-resolved", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _link_included(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = INCLUDED.sub("](/benchmarks.md", source[0])


def _check(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Warn of links to what is not on the page, which MyST makes of some files that are missing."""
    found = {name for node in doctree.findall(nodes.Element) for name in node["ids"]}
    for reference in doctree.findall(nodes.reference):
        if reference.get("refid", "") not in {"", *found}:
            logger.warning("a link to %s leads nowhere", reference["refid"], location=reference)


class LinkPublicNames(SphinxTransform):
    """Makes a link of each literal that begins with a public name.

    A full name that is not public is a warning, and so an error.
    """

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        """Replace the literals of a document."""
        by_name = {name.split(".")[-1]: name for name in public_names()}
        for literal in list(self.document.findall(nodes.literal)):
            if isinstance(literal.parent, nodes.reference | addnodes.pending_xref):
                continue
            text = literal.astext()
            if found := FULL_NAME.match(text):
                if text.startswith("keras_softmaxes") and found[0] == text:  # as docstrings have it
                    literal.clear()
                    literal += nodes.Text(found[2])
                self.link(literal, found[1])
            elif text in by_name:
                self.link(literal, by_name[text])

    def link(self, literal: nodes.literal, name: str) -> None:
        """Put a reference around a literal."""
        reference = addnodes.pending_xref(
            "",
            refdomain="py",
            reftype="obj",
            reftarget=f"keras_softmaxes.{name}",
            refdoc=self.env.docname,
            refwarn=True,
        )
        literal.replace_self(reference)
        reference += literal
