"""Words for the metrics, in Chinese and English; a metric without words keeps its own name."""

from __future__ import annotations

_WORDS = {
    "precision": ("前 {b} 条命中率", "precision at {b} leads"),
    "recall": ("前 {b} 条找回率", "recall at {b} leads"),
    "recall_doubly_robust": ("前 {b} 条找回率（双稳健估计）", "recall at {b} leads, doubly robust"),
    "inspected_share": ("前 {b} 条中已检查的比例", "share of the first {b} leads inspected"),
    "silent_queue_precision": ("静默队列命中率", "precision of the silent queue"),
    "false_alerts_removed": ("剔除的误报（保留 {b}% 真报警）", "false alerts removed, {b} % of true ones kept"),
    "alert_precision": ("单模型预警命中率", "precision of the models' own alerts"),
    "average_precision": ("平均精确率", "average precision"),
    "brier": ("布里尔分数", "Brier score"),
    "ece": ("校准误差", "expected calibration error"),
    "days_to_detect": ("发现所需天数", "days to detect"),
    "false_alarms_per_enterprise_month": ("每企业每月误报", "false alarms per enterprise-month"),
    "warnings_per_enterprise_month": ("每企业每月预警", "warnings per enterprise-month"),
    "prevalence_doubly_robust": ("违法企业比例（双稳健估计）", "prevalence, doubly robust"),
}
AGAINST = {
    "inspections": ("检查结论", "inspections"),
    "truth (simulated)": ("模拟区的隐藏真相", "hidden truth of the simulated district"),
    "the data": ("数据本身", "the data"),
}


def metric_words(name: str) -> tuple[str, str]:
    """Return a metric's words, such as ``前 70 条命中率`` and ``precision at 70 leads`` for ``precision@70``."""
    stem, _, budget = name.partition("@")
    zh, en = _WORDS.get(stem, ("", name))
    return zh.format(b=budget), en.format(b=budget)


def against_words(against: str) -> tuple[str, str]:
    """Return what a metric was held against, in words."""
    return AGAINST.get(against, ("", against or "—"))
