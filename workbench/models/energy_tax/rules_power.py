"""Rules on power: treatment off, and treatment idling, while production runs.

One stop is a repair, a pattern is a habit: the evidence is the number of separate days, the share of production time,
and whether the facility's own condition sensor agrees with the meter. Spans under marked start-up, shut-down,
maintenance or fault are excused before anything is counted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.contracts import Kind, Ruling
from workbench.models.energy_tax.episodes import Episode
from workbench.models.energy_tax.judgement import Judgement, Part, not_evaluable, part
from workbench.models.energy_tax.meters import Works

BASE = -2.2
"""Log-odds that a campaign of average weight is a violation: one in ten, before any part speaks (stated prior)."""
ConditionRatio = Callable[[NDArray[np.bool_]], float]
"""Median of the facility's condition (pressure drop …) where the flags are set over its median while treating; NaN unknown."""


def treatment_off_while_producing(
    works: Works, condition: ConditionRatio, *, minutes_min: float, share_half: float, days_half: float, campaign_days: float
) -> list[Judgement]:
    """Judge the times at which production ran and its treatment was off.

    Returns
    -------
    list of Judgement
        One per campaign (episodes closer than ``campaign_days``), else one that is compliant or not evaluable.
    """
    words = ("停运", "off")
    rule = "treatment_off_while_producing"
    return _judge(rule, works, works.off, condition, words, minutes_min, share_half, days_half, campaign_days, condition_falls_to=0.35)


def treatment_idling_while_producing(
    works: Works,
    condition: ConditionRatio,
    *,
    share_max: float,
    minutes_min: float,
    share_half: float,
    days_half: float,
    campaign_days: float,
) -> list[Judgement]:
    """Judge the times at which the treatment ran far under what production asks of it.

    Parameters
    ----------
    share_max : float
        Already applied when ``works.idle`` was made; said in the words.
    """
    words = (f"低负荷空转（不足应有功率的{share_max:.0%}）", f"idling (under {share_max:.0%} of the expected power)")
    rule = "treatment_idling_while_producing"
    return _judge(rule, works, works.idle, condition, words, minutes_min, share_half, days_half, campaign_days, condition_falls_to=0.75)


def campaigns(episodes: list[Episode], gap_steps: float) -> list[list[Episode]]:
    """Group episodes whose gap is at most ``gap_steps``."""
    groups: list[list[Episode]] = []
    for e in episodes:
        if groups and e.start - groups[-1][-1].stop <= gap_steps:
            groups[-1].append(e)
        else:
            groups.append([e])
    return groups


def _judge(
    rule: str, works: Works, flags: NDArray[np.bool_], condition: ConditionRatio, words: tuple[str, str], minutes_min: float,
    share_half: float, days_half: float, campaign_days: float, *, condition_falls_to: float,
) -> list[Judgement]:  # fmt: skip
    span = (pd.Timestamp(works.time[0]), pd.Timestamp(works.time[-1]) + pd.Timedelta(seconds=works.step_s))
    if not works.pairs:
        lost = "production" if not works.rows("production") else "treatment"
        zh = f"没有可用的{'生产' if lost == 'production' else '治污'}电表，无法判断{words[0]}"
        return [
            not_evaluable(
                rule, works.enterprise_id, span, Kind.TREATMENT_OFF, zh, f"no usable {lost} meter, so {words[1]} cannot be judged"
            )
        ]
    hit = [e for e in works.episodes if flags[e.start : e.stop].any()]
    found = []
    for group in campaigns(hit, campaign_days * 86400 / works.step_s):
        a, b = group[0].start, group[-1].stop
        mine = np.zeros(len(flags), bool)
        mine[a:b] = flags[a:b]
        minutes = float(mine.sum() * works.step_s / 60)
        if minutes < minutes_min:
            continue
        found.append(_campaign(rule, works, mine, a, b, minutes, condition, words, share_half, days_half, condition_falls_to))
    if found:
        return found
    zh, en = (
        f"生产期间未见治污设施{words[0]}达{minutes_min:g}分钟",
        f"no treatment {words[1]} of {minutes_min:g} minutes or more while producing",
    )
    return [Judgement(rule, Ruling.COMPLIANT, works.enterprise_id, *span, zh, en, Kind.TREATMENT_OFF)]


def _campaign(
    rule: str, works: Works, mine: NDArray[np.bool_], a: int, b: int, minutes: float, condition: ConditionRatio, words: tuple[str, str],
    share_half: float, days_half: float, condition_falls_to: float,
) -> Judgement:  # fmt: skip
    producing = works.producing
    times = works.time[mine]
    per_day = np.unique(times.astype("datetime64[D]"), return_counts=True)[1] * works.step_s / 60
    days = float((per_day >= 30).sum())
    share = float(mine[a:b].sum() / max(producing[a:b].sum(), 1))
    hour = (times.astype("datetime64[h]") - times.astype("datetime64[D]")).astype(int)
    night = float(np.mean((hour >= 22) | (hour < 6)))
    outside = producing.copy()
    outside[a:b] = False
    served = 1.0 - float((works.off | works.idle)[outside].sum() / outside.sum()) if outside.sum() * works.step_s > 86400 else float("nan")
    ratio = condition(mine)
    agreement = max((p.agreement for p in works.pairs if np.isfinite(p.agreement)), default=float("nan"))
    parts: dict[str, Part] = {
        "days": part("有停治的天数", "separate days with half an hour or more", days, "d", 1.5 * np.log(max(days, 0.5) / days_half), low=-2.4, high=3.0),
        "share_of_production": part(
            "占生产时间比例", "share of production time in the span", share, "1", 0.8 * np.log(max(share, 1e-4) / share_half), low=-1.6, high=1.6
        ),
        "served_otherwise": part("其余时间治污随开率", "production time served outside the span", served, "1", 10 * (served - 0.93), low=-1.2, high=0.5),
        "start_agreement": part("启动配对一致率", "share of starts that agree", agreement, "1", 2 * (agreement - 0.6), low=-0.6, high=0.6),
        "night": part("夜间占比", "share at night (22–6 h)", night, "1", 0.8 * (night - 0.33), low=-0.3, high=0.6),
        "condition": part(
            "设施工况比（片段内/正常）", "facility condition, in the span against normal", ratio, "1", 2.5 * np.log((condition_falls_to + 0.3) / (ratio + 0.3)),
            low=-2.5, high=1.8,
        ),
    }  # fmt: skip
    start = pd.Timestamp(works.time[a])
    end = pd.Timestamp(works.time[b - 1]) + pd.Timedelta(seconds=works.step_s)
    longest = max(e.steps for e in works.episodes if e.start >= a and e.stop <= b) * works.step_s / 3600
    ids = tuple(works.point_ids[k] for p in works.pairs for k in (p.production, p.treatment))
    seen_zh = "" if not np.isfinite(ratio) else f"；设施工况为正常时的{ratio:.0%}"
    seen_en = "" if not np.isfinite(ratio) else f"; the facility's condition stood at {ratio:.0%} of normal"
    zh = f"{start:%m-%d}至{end:%m-%d}生产期间治污设施{words[0]}累计{minutes / 60:.1f}小时，涉及{days:.0f}天，占该段生产时间{share:.0%}，最长{longest:.1f}小时{seen_zh}"
    en = (
        f"{start:%Y-%m-%d} to {end:%Y-%m-%d}: treatment {words[1]} for {minutes / 60:.1f} h while producing, on {days:.0f} days, "
        f"{share:.0%} of production time in the span, longest {longest:.1f} h{seen_en}"
    )
    return Judgement(
        rule, Ruling.VIOLATED, works.enterprise_id, start, end, zh, en, Kind.TREATMENT_OFF, point_id=works.point_ids[works.pairs[0].treatment],
        value=minutes, unit="min", base=BASE, parts=parts, evidence=tuple(dict.fromkeys(ids)),
    )  # fmt: skip
