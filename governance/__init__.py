"""Top layer: people, budgets, forecasts, decisions, and the screens."""
