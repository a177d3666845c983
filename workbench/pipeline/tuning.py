"""Tuning: an experiment run again and again with other settings, each trial a whole iteration, judged on held-out decisions.

A trial is an iteration like any other (:mod:`workbench.pipeline.iteration`), in a reports folder of the study's own, so
that steps whose inputs did not change are taken over from earlier trials. Optuna proposes the settings; its journal is a
file that a killed study goes on from.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench.contracts import Metric, ParameterError, RunError, WorkbenchError, unknown_name
from workbench.pipeline import fingerprints, lock
from workbench.pipeline.experiment import Experiment, apply_settings
from workbench.pipeline.iteration import Outcome, Request, run_iteration
from workbench.pipeline.search_space import Objective, Range, Tuning
from workbench.pipeline.steps import Observer, Silent

if TYPE_CHECKING:
    import optuna

FOLDER = "tuning"
"""Folder below the reports that holds the studies."""
PATIENCE = 3
"""Proposed trials that may be set aside before a study without any measured one gives up."""


class StudyObserver(Observer, Protocol):
    """Is told of the steps within a trial, and of the trials."""

    def trial_started(self, number: int, settings: Mapping[str, Any]) -> None:
        """Trial ``number`` begins (0: the values as stated)."""

    def trial_finished(self, trial: Trial) -> None:
        """A trial is measured or set aside."""


@dataclass(frozen=True)
class Trial:
    """One set of settings and what it measured.

    Parameters
    ----------
    number : int
        0 for the values as stated, then 1, 2, ...
    settings : mapping of setting to value
        Empty for the values as stated.
    metric : Metric or None
        The objective; None where the trial was set aside.
    iteration : str
        The iteration behind the figure; empty where there is none.
    reason : str
        Why it was set aside; empty otherwise.
    """

    number: int
    settings: Mapping[str, Any]
    metric: Metric | None
    iteration: str = ""
    reason: str = ""

    @property
    def value(self) -> float:
        """The objective's value; NaN where the trial was set aside."""
        return float("nan") if self.metric is None or self.metric.value is None else self.metric.value


@dataclass(frozen=True)
class Study:
    """A finished study: every trial, the first of them the values as stated."""

    folder: Path
    experiment: Experiment
    tuning: Tuning
    trials: Sequence[Trial]

    @property
    def stated(self) -> Trial:
        """The values as stated."""
        return self.trials[0]

    @property
    def best(self) -> Trial:
        """The best measured trial; of equals the earliest, so the stated values win a tie."""
        sign = -1 if self.tuning.objective.direction == "maximize" else 1
        measured = [t for t in self.trials if t.metric is not None]
        return min(measured, key=lambda t: (sign * t.value, t.number))

    @property
    def told_apart(self) -> bool:
        """Whether the best value lies outside the interval of the stated values."""
        stated = self.stated.metric
        if stated is None or stated.low is None or stated.high is None:
            return False
        return not stated.low <= self.best.value <= stated.high


def tune(request: Request, trials: int, observer: StudyObserver | None = None) -> Study:
    """Run the experiment as stated and ``trials`` times with settings proposed by Optuna.

    Parameters
    ----------
    request : Request
        Its experiment has a ``tuning`` block and keeps decisions from every step (``held_out``).
    trials : int
        Trials of the whole study, finished ones of an earlier call included.

    Raises
    ------
    ParameterError
        If there is no search space, no held-out decision, or the objective is not among the metrics that are written.
    WorkbenchError
        If the values as stated cannot be run, or none of the first three trials. Any other trial that fails is set
        aside with its reason.
    """
    experiment = request.experiment
    tuning = _asked(experiment, request.file)
    for setting, dimension in tuning.search.items():
        apply_settings(experiment, [f"{setting}={_example(dimension)}"], where=f"{request.file}: tuning.search")
    watch = observer or _SilentStudy()
    home = request.reports / FOLDER
    inner = replace(request, reports=home / "iterations", resume=True)
    watch.trial_started(0, {})
    outcome = run_iteration(inner, watch)
    stated = Trial(0, {}, _measured(outcome, tuning.objective), outcome.record.iteration_id)
    watch.trial_finished(stated)
    folder = home / study_name(experiment, outcome.record.snapshot)
    with lock.hold(folder / "study.lock"):
        study = _opened(folder, tuning, experiment.seed)
        _ask_again_for_interrupted(study)
        while (number := _finished(study)) < trials:
            _seed(study, experiment.seed, number)
            last = _try(study, number + 1, inner, tuning, watch)
            watch.trial_finished(last)
            _give_up_if_none_is_measured(study, last)
        return Study(folder, experiment, tuning, [stated, *_told(study, tuning.objective)])


def study_name(experiment: Experiment, snapshot: Mapping[str, str]) -> str:
    """Return ``<experiment>-<8 hex>``: trials on other data, settings, search spaces or code never share a study."""
    parts = [experiment.model_dump(mode="json", exclude={"title", "hypothesis"}), dict(snapshot), fingerprints.source_hash()]
    return f"{experiment.name}-{fingerprints.digest(parts)[:8]}"


def _asked(experiment: Experiment, file: Path) -> Tuning:
    if experiment.tuning is None:
        raise ParameterError(
            "this experiment states no search space",
            got=experiment.name,
            allowed="a block `tuning` with `objective` and `search`",
            where=str(file),
            next_step="add the block (experiments/backtest has one), or tune that experiment",
        )
    if not experiment.held_out:
        raise ParameterError(
            "a tuning is judged on decisions that no step has seen",
            got="held_out=0",
            allowed="held_out between 0 and 1",
            where=str(file),
            next_step="add --set held_out=0.33",
        )
    return experiment.tuning


def _example(dimension: Any) -> Any:
    return dimension.low if isinstance(dimension, Range) else dimension.choices[0]


def _measured(outcome: Outcome, objective: Objective) -> Metric:
    """Return the objective of an iteration, or raise :class:`ParameterError` if it has none that says something."""
    found = [m for m in outcome.metrics if m.against == objective.against]
    named = [m for m in found if m.name == objective.metric and objective.subject in ("", m.subject)]
    if not named:
        raise unknown_name("metric", objective.metric, sorted({m.name for m in found}), where="tuning.objective")
    metric = named[0]
    if metric.value is None or metric.n < objective.min_n:
        raise ParameterError(
            "too few held-out decisions to judge by",
            got=f"{metric.name}: n={metric.n}" + (f" ({metric.note})" if metric.note else ""),
            allowed=f"n from {objective.min_n}",
            where="tuning.objective",
            next_step="hold out a larger share (--set held_out=0.5), or take a metric over more leads",
        )
    return metric


def _opened(folder: Path, tuning: Tuning, seed: int) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.create_study(
        storage=storage,
        study_name=folder.name,
        direction=tuning.objective.direction,
        sampler=optuna.samplers.TPESampler(seed=seed),
        load_if_exists=True,
    )


def _ask_again_for_interrupted(study: optuna.Study) -> None:
    """Close the trials of a killed call and put their settings first in the queue."""
    from optuna.trial import TrialState

    for cut in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(cut.number, state=TrialState.FAIL)
        study.enqueue_trial(cut.params, user_attrs={"again": cut.number})


def _finished(study: optuna.Study) -> int:
    return len(_closed(study))


def _give_up_if_none_is_measured(study: optuna.Study, last: Trial) -> None:
    closed = _closed(study)
    if len(closed) >= PATIENCE and not any(t.user_attrs["metric"] for t in closed):
        raise RunError(
            f"none of {len(closed)} trials could be measured",
            got=last.reason,
            where="tuning.search",
            next_step="correct the search space in experiment.yml",
        )


def _closed(study: optuna.Study) -> list[Any]:
    """Return the trials that came to an end, measured or set aside; those of a killed call have neither figure nor reason."""
    return [t for t in study.get_trials(deepcopy=False) if t.state.is_finished() and "iteration" in t.user_attrs]


def _seed(study: optuna.Study, seed: int, number: int) -> None:
    """Seed the sampler by the trial's number: a study that was interrupted proposes what it would have proposed."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(seed=seed * 10_007 + number, multivariate=True)


def _try(study: optuna.Study, number: int, request: Request, tuning: Tuning, watch: StudyObserver) -> Trial:
    from optuna.trial import TrialState

    asked = study.ask()
    settings = {name: _proposed(asked, name, dimension) for name, dimension in tuning.search.items()}
    watch.trial_started(number, settings)
    iteration, reason, metric = "", "", None
    try:
        changed = apply_settings(request.experiment, [f"{k}={v}" for k, v in settings.items()])
        outcome = run_iteration(replace(request, experiment=changed), watch)
        iteration = outcome.record.iteration_id
        metric = _measured(outcome, tuning.objective)
    except WorkbenchError as error:
        reason = f"{error.what}: {error.got}"[:500]
    asked.set_user_attr("metric", metric.model_dump(mode="json") if metric else None)
    asked.set_user_attr("reason", reason)
    asked.set_user_attr("iteration", iteration)
    if metric is None or metric.value is None:
        study.tell(asked, state=TrialState.FAIL)
    else:
        study.tell(asked, metric.value)
    return Trial(number, settings, metric, iteration, reason)


def _proposed(asked: optuna.Trial, name: str, dimension: Any) -> Any:
    if not isinstance(dimension, Range):
        return asked.suggest_categorical(name, dimension.choices)
    if dimension.whole:
        return asked.suggest_int(name, int(dimension.low), int(dimension.high), log=dimension.log, step=int(dimension.step or 1))
    # six digits are what a setting can be written and read back with; more would only look exact
    return float(f"{asked.suggest_float(name, dimension.low, dimension.high, log=dimension.log, step=dimension.step):.6g}")


def _told(study: optuna.Study, objective: Objective) -> list[Trial]:
    trials = []
    for number, t in enumerate(_closed(study), start=1):
        kept = t.user_attrs
        metric = Metric.model_validate(kept["metric"]) if kept["metric"] else None
        settings = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in t.params.items()}
        trials.append(Trial(number, settings, metric, kept["iteration"], kept["reason"]))
    return trials


class _SilentStudy(Silent):
    """An observer that draws nothing."""

    def trial_started(self, number: int, settings: Mapping[str, Any]) -> None:
        """Do nothing."""

    def trial_finished(self, trial: Trial) -> None:
        """Do nothing."""
