"""A model's numbers, read from its ``params.yml`` (rules) and ``preparation.yml`` (what comes before them)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from workbench.contracts import RuleRow, load_rules, unknown_name


@dataclass(frozen=True)
class Settings:
    """Every number of the model.

    Parameters
    ----------
    rules : mapping of str to RuleRow
        One row per rule function.
    preparation : mapping of str to RuleRow
        What comes before the rules, and the calibration after them.
    """

    rules: Mapping[str, RuleRow]
    preparation: Mapping[str, RuleRow]

    def of(self, rule: str) -> dict[str, float]:
        """Return the thresholds of a rule as keyword arguments."""
        return self.rules[rule].numbers()

    def prep(self, name: str) -> dict[str, float]:
        """Return the numbers of one preparation."""
        return self.preparation[name].numbers()


def read_settings(package: str, overrides: Mapping[str, float] | None = None) -> Settings:
    """Read both files of a model's package.

    Parameters
    ----------
    package : str
        Such as ``workbench.models.dust``.
    overrides : mapping, optional
        ``{"rule.threshold": value}``, for rules and preparation alike.

    Raises
    ------
    ParameterError
        If a file breaks its schema or an override names nothing.
    """
    folder, overrides = files(package), dict(overrides or {})
    names = ("params.yml", "preparation.yml")
    plain = {name: load_rules(folder / name) for name in names}
    known = {f"{rule}.{t}": name for name, rows in plain.items() for rule, row in rows.items() for t in row.thresholds}
    for key in overrides:
        if key not in known:
            raise unknown_name("rule threshold", key, known, where=package.removeprefix("workbench.").replace(".", "/"))
    rules, preparation = (load_rules(folder / n, {k: v for k, v in overrides.items() if known[k] == n}) for n in names)
    return Settings(rules, preparation)
