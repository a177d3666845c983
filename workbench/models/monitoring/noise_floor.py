"""Usual level and roughness of a point, from its own days."""

from __future__ import annotations

import numpy as np

from workbench.models.monitoring.panel import Panel
from workbench.models.monitoring.scan import middle, spread_of


def usual_levels(panel: Panel) -> np.ndarray:
    """Return median and robust spread of the log daily mean and of the lag-1 autocorrelation, shape (4, point)."""
    mean = panel.day("mean").astype(float)
    log_mean = np.log(np.where(mean > 0, mean, np.nan))
    lag = panel.day("lag1").astype(float)
    return np.stack([middle(log_mean), np.maximum(spread_of(log_mean), 1e-3), middle(lag), np.maximum(spread_of(lag), 1e-3)])
