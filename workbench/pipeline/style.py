"""One look for all notebooks: Chinese font where there is one, quiet axes, the report's colours, numbers of three digits."""

from __future__ import annotations

COLOURS = ("#0b5c7a", "#b4581a", "#5d4a9c", "#3a7d44", "#8a8f98", "#a32020")
CJK = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei", "SimHei")


def use_house_style() -> bool:
    """Set matplotlib's and pandas' style in this process; return whether a Chinese font was found.

    Without one, Chinese words in pictures show as boxes; install ``fonts-noto-cjk`` or the like.
    """
    import matplotlib.pyplot as plt
    import pandas as pd
    from cycler import cycler
    from matplotlib import font_manager

    there = {f.name for f in font_manager.fontManager.ttflist}
    found = [name for name in CJK if name in there]
    plt.rcParams.update(
        {
            "font.family": "sans-serif",
            "font.sans-serif": [*found, "DejaVu Sans"],
            "axes.unicode_minus": False,
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#8b96a5",
            "axes.titleweight": "bold",
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "font.size": 9.5,
            "figure.dpi": 110,
            "figure.figsize": (9, 3.2),
            "figure.constrained_layout.use": True,
            "legend.frameon": False,
            "grid.color": "#e3e7ec",
            "axes.grid": True,
            "axes.axisbelow": True,
            "lines.linewidth": 1.2,
        }
    )
    for option, value in (("display.precision", 3), ("display.max_colwidth", 90), ("display.max_rows", 80)):
        pd.set_option(option, value)
    return bool(found)
