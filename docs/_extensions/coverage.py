"""Every public name has a page: a name without one is a warning, and so an error."""

from collections.abc import Iterator
from types import ModuleType

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import keras_softmaxes

logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    """Check the pages when all are read."""
    app.connect("env-check-consistency", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def public_names() -> Iterator[str]:
    """Yield the names of the package's faces, "layers.DropMax"."""
    for face, module in vars(keras_softmaxes).items():
        if isinstance(module, ModuleType) and not face.startswith("_") and face != "support":
            yield from (f"{face}.{name}" for name in vars(module) if not name.startswith("_"))


def _check(app: Sphinx, env: BuildEnvironment) -> None:
    documented = {name for name, *_ in env.get_domain("py").get_objects()}
    names = [f"keras_softmaxes.{name}" for name in public_names()]
    for name in names:
        if name not in documented:
            logger.warning("%s has no page", name)
    logger.info("%d public names, each with a page", len(set(names) & documented))
