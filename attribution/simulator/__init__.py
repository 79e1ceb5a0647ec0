"""A company with known answers: native bills, telemetry and the truth. Imports nothing of what it tests."""
