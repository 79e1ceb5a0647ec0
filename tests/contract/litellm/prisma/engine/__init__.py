"""There is no engine here."""
