"""Model 1: verification of online monitoring data. See ``card.yml`` and :class:`workbench.models.monitoring.model.MonitoringModel`."""
