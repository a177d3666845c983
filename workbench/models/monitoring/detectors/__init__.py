"""The detectors, one sentence-named function each; ``DETECTORS`` lists them by name, as ``params.yml`` does."""

from __future__ import annotations

from collections.abc import Callable

from workbench.models.monitoring.detectors.bunching import monthly_means_bunch_under_notch, values_bunch_at_limit
from workbench.models.monitoring.detectors.copies import history_copied_exactly, history_copied_with_noise
from workbench.models.monitoring.detectors.digits import readings_leave_own_resolution
from workbench.models.monitoring.detectors.marks import calibration_shows_no_gas_step, mark_contradicts_operation
from workbench.models.monitoring.detectors.noise import purge_off_schedule, values_generated
from workbench.models.monitoring.detectors.operation import (
    data_arrive_late,
    data_missing_or_late,
    exceedance_after_lawful_marks,
    outage_when_exceedance_predicted,
    values_impossible,
    values_saturate_at_range,
)
from workbench.models.monitoring.detectors.plateau import values_clipped_below_limit, values_stay_constant
from workbench.models.monitoring.detectors.shift import (
    clean_water_replaces_sample,
    drift_ends_at_calibration,
    sampling_line_diluted,
    values_scaled_down,
    values_shifted_down,
)
from workbench.models.monitoring.detectors.switching import readings_switch_together
from workbench.models.monitoring.verdicts import Verdicts

DETECTORS: dict[str, Callable[..., Verdicts]] = {
    f.__name__: f
    for f in (
        values_stay_constant,
        values_clipped_below_limit,
        values_bunch_at_limit,
        monthly_means_bunch_under_notch,
        values_scaled_down,
        values_shifted_down,
        values_saturate_at_range,
        clean_water_replaces_sample,
        sampling_line_diluted,
        history_copied_exactly,
        history_copied_with_noise,
        values_generated,
        readings_leave_own_resolution,
        readings_switch_together,
        purge_off_schedule,
        outage_when_exceedance_predicted,
        mark_contradicts_operation,
        calibration_shows_no_gas_step,
        exceedance_after_lawful_marks,
        drift_ends_at_calibration,
        data_missing_or_late,
        data_arrive_late,
        values_impossible,
    )
}
"""Every detector by its name; each takes a Panel and the numbers of its row and returns Verdicts."""
