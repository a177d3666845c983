"""Experiments: what an iteration runs, on which data, with which settings.

One folder per experiment, ``experiments/<name>/experiment.yml``; settings can be changed for one run with
``--set key=value`` without editing the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from workbench.contracts import ParameterError, Period, Words, unknown_name
from workbench.governance import Gate
from workbench.pipeline.search_space import Tuning

FILE = "experiment.yml"
RESERVED = frozenset({"catalog", "period", "out", "upstream", "seed", "scheduler"})
"""Notebook parameters that the pipeline fills itself."""
SHARED = ("period", "seed", "budgets", "silent_quota", "held_out")
"""Experiment fields that every notebook declaring a parameter of that name receives."""


class Experiment(BaseModel):
    """``experiment.yml``.

    Parameters
    ----------
    name : str
        Short name; iterations are called ``<name>-<8 hex digits>``.
    hypothesis : Words
        What the experiment is to show.
    catalog : str
        Catalog file, relative to the experiment's project, or a URL.
    period : str
        ``START/END`` (end not included); empty for the whole catalog.
    seed : int
        Seed handed to every step.
    steps : list of str
        Notebooks in order: names in ``notebooks/``, or paths relative to the experiment's folder.
    parameters : mapping of notebook to mapping
        Values for the notebook's ``parameters`` cell.
    budgets : list of int
        Review budgets (number of leads that can be looked at), unit: leads.
    silent_quota : int
        Reviews reserved for the silent queue, unit: leads.
    held_out : float
        Share of the decided inspections, the latest ones, that no step may learn from; they then measure honestly.
    gates : list of Gate
        What a challenger must meet before it can be promoted.
    tuning : Tuning, optional
        What ``workbench tune`` may change and what it is judged by; a plain run takes no notice of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    title: Words
    hypothesis: Words
    catalog: str = Field(min_length=1)
    period: str = ""
    seed: int = Field(default=0, ge=0)
    steps: list[str] = Field(min_length=1)
    parameters: dict[str, dict[str, Any]] = Field(default_factory=dict)
    budgets: list[int] = Field(default_factory=lambda: [20, 70], min_length=1)
    silent_quota: int = Field(default=20, ge=0)
    held_out: float = Field(default=0.0, ge=0, lt=1)
    gates: list[Gate] = Field(default_factory=list)
    tuning: Tuning | None = None

    @field_validator("period")
    @classmethod
    def _period_reads(cls, text: str) -> str:
        if text:
            Period.parse(text)
        return text

    @field_validator("budgets")
    @classmethod
    def _budgets_rise(cls, budgets: list[int]) -> list[int]:
        if min(budgets) < 1 or sorted(set(budgets)) != budgets:
            raise ValueError("budgets must be whole numbers from 1, rising, each once")
        return budgets

    @field_validator("steps")
    @classmethod
    def _steps_once(cls, steps: list[str]) -> list[str]:
        names = [step_name(s) for s in steps]
        if len(set(names)) != len(names):
            raise ValueError("each notebook once")
        return steps


def step_name(step: str) -> str:
    """Return the name of a step: the notebook's file name without its ending."""
    return Path(step).stem if step.endswith(".ipynb") else Path(step).name


def project_root(start: Path | None = None) -> Path:
    """Return the nearest folder at or above ``start`` that has ``experiments/`` and ``notebooks/``.

    Raises
    ------
    ParameterError
        If there is none, neither above the working folder nor around the installed package.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "experiments").is_dir() and (folder / "notebooks").is_dir():
            return folder
    raise ParameterError(
        "no project here",
        got=str(here),
        allowed="a folder with experiments/ and notebooks/",
        next_step="run inside a checkout, or name an experiment file",
    )


def list_experiments(root: Path) -> list[str]:
    """Return the names of the experiments of a project."""
    return sorted(f.parent.name for f in (root / "experiments").glob(f"*/{FILE}"))


def find_experiment(name_or_file: str, root: Path | None = None) -> Path:
    """Return the experiment file for a name, a folder or a file.

    Raises
    ------
    ParameterError
        If there is no such experiment; the nearest known name is the next step.
    """
    given = Path(name_or_file)
    for file in (given, given / FILE):
        if file.is_file():
            return file.resolve()
    base = root or project_root()
    file = base / "experiments" / name_or_file / FILE
    if not file.is_file():
        raise unknown_name("experiment", name_or_file, list_experiments(base), where=str(base / "experiments"))
    return file


def load_experiment(file: Path) -> Experiment:
    """Read and check an experiment file.

    Raises
    ------
    ParameterError
        If the file cannot be read or breaks the schema; every breach is named.
    """
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ParameterError("cannot read an experiment", got=str(error), where=str(file)) from error
    return _validated(raw, str(file))


def apply_settings(experiment: Experiment, settings: Iterable[str], where: str = "--set") -> Experiment:
    """Return the experiment with ``key=value`` settings applied.

    Parameters
    ----------
    settings : iterable of str
        ``seed=3``, ``budgets=[20,70]`` or ``<notebook>.<parameter>=value``; a longer key goes into a mapping, as in
        ``10_monitoring.overrides.constant_value.p_max=1e-9`` (key ``constant_value.p_max`` of ``overrides``).

    Raises
    ------
    ParameterError
        For a setting that is no ``key=value``, an unknown key (with the nearest known one), or a value out of range.
        Notebook parameters are held against the notebook itself later, by the iteration.
    """
    raw = experiment.model_dump(mode="json")
    fields = set(Experiment.model_fields) - {"parameters", "name", "title", "hypothesis", "gates", "tuning"}
    steps = {step_name(s) for s in experiment.steps}
    for setting in settings:
        key, sign, text = setting.partition("=")
        key = key.strip()
        if not sign or not key:
            raise ParameterError("cannot read a setting", got=setting, allowed="key=value", where=where)
        head, dot, rest = key.partition(".")
        if not dot and head in fields:
            raw[head] = parse_value(text)
        elif dot and head in steps:
            _set_parameter(raw["parameters"].setdefault(head, {}), rest, parse_value(text))
        else:
            known = fields | {f"{s}.<parameter>" for s in steps}
            raise unknown_name("setting", key, known, where=where)
    return _validated(raw, where)


def parse_value(text: str) -> Any:
    """Read a value as YAML does, numbers such as ``1e-9`` included."""
    text = text.strip()
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError as error:
        raise ParameterError("cannot read a value", got=text, allowed="a number, text, true/false, [list] or {map}") from error


def _set_parameter(target: dict[str, Any], key: str, value: Any) -> None:
    name, dot, inner = key.partition(".")
    if not dot:
        target[name] = value
        return
    mapping = target.get(name) or {}
    if not isinstance(mapping, dict):
        raise ParameterError("this parameter is no mapping", got=f"{key}={value}", allowed=f"{name}=value")
    target[name] = {**mapping, inner: value}


def _validated(raw: Any, where: str) -> Experiment:
    if not isinstance(raw, dict):
        raise ParameterError("an experiment is a mapping", got=type(raw).__name__, allowed=sorted(Experiment.model_fields), where=where)
    for key in raw:
        if key not in Experiment.model_fields:
            raise unknown_name("experiment field", str(key), Experiment.model_fields, where=where)
    try:
        experiment = Experiment.model_validate(raw)
    except ValidationError as error:
        got = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
        raise ParameterError("an experiment setting is out of range", got=got, where=where) from error
    steps = [step_name(s) for s in experiment.steps]
    for name, values in experiment.parameters.items():
        if name not in steps:
            raise unknown_name("step under parameters", name, steps, where=where)
        if taken := RESERVED & set(values):
            raise ParameterError(
                "the pipeline fills these notebook parameters itself",
                got=sorted(taken),
                where=f"{where}: {name}",
                next_step="set period, seed or catalog on the experiment (--set seed=3, --catalog FILE)",
            )
    return experiment
