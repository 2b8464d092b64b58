"""Every command, in the order one needs them; what they do lives in the library."""

# ruff: noqa: F401, I001  (importing a module adds its commands, and help lists them in this order)
from audiovq.commands import corpus
from audiovq.commands import training
from audiovq.commands import sound
from audiovq.commands import stream
from audiovq.commands import voice
from audiovq.commands import units
from audiovq.commands import export_units
from audiovq.commands import evaluation
from audiovq.commands import stress
from audiovq.commands import evaluate_units
from audiovq.commands import prior
from audiovq.commands import score
from audiovq.commands import coding
from audiovq.commands import demo
from audiovq.commands import shipping
from audiovq.commands import export
from audiovq.commands import listing
from audiovq.commands._app import app

__all__ = ["app"]
