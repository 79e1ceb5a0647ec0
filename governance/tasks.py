"""Where Celery looks for background work of the top layer: each part keeps its tasks beside its services."""

from governance import anomaly_tasks as anomalies
from governance import budget_tasks as budgets
from governance import change_tasks as changes
from governance import control_tasks as control
from governance import forecast_tasks as forecasts
from governance.livedemo import tasks as livedemo
from governance.notifications import tasks as notifications

__all__ = ["anomalies", "budgets", "changes", "control", "forecasts", "livedemo", "notifications"]
