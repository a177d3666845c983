"""The reviewer's desk as a script: ``panel serve workbench/apps/desk.py`` (folder in WORKBENCH_REPORTS)."""

from workbench.apps.serving import app

app().servable()
