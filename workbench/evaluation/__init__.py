"""Metrics with intervals, splits that do not leak, the weighted audit draw and doubly robust estimates.

Every figure is a :class:`workbench.contracts.Metric`. Accuracy is never quoted; precision at a review budget is.
"""

from workbench.evaluation.against import BUDGETS, against_inspections, against_truth, read_truth
from workbench.evaluation.audit import draw, inclusion_probabilities
from workbench.evaluation.baselines import baselines, ranked_by_alert_count, ranked_by_model
from workbench.evaluation.breakdown import cost_curve, mechanism_table, precision_by
from workbench.evaluation.doubly_robust import doubly_robust_share
from workbench.evaluation.intervals import bootstrap, interval, measured, proportion, unevaluated, wilson
from workbench.evaluation.matching import decided, label_by_inspection, pairs_with_inspections, pairs_with_truth
from workbench.evaluation.ranking import reliability_table
from workbench.evaluation.splits import Split, connected_groups, forward, group_folds, hold_out_street

__all__ = [
    "BUDGETS",
    "Split",
    "against_inspections",
    "against_truth",
    "baselines",
    "bootstrap",
    "connected_groups",
    "cost_curve",
    "decided",
    "doubly_robust_share",
    "draw",
    "forward",
    "group_folds",
    "hold_out_street",
    "inclusion_probabilities",
    "interval",
    "label_by_inspection",
    "measured",
    "mechanism_table",
    "pairs_with_inspections",
    "pairs_with_truth",
    "precision_by",
    "proportion",
    "ranked_by_alert_count",
    "ranked_by_model",
    "read_truth",
    "reliability_table",
    "unevaluated",
    "wilson",
]
