"""Panel apps over ``reports/``. Read only; nothing is asked of any other host.

``serve`` is what ``workbench serve`` calls; ``app`` returns the page for a notebook or a script of one's own.
"""

from workbench.apps.serving import app, serve

__all__ = ["app", "serve"]
