"""Model 4: energy use and tax data."""
