"""The live demo: stub providers, an Envoy before them, a little traffic and its telemetry. For `make run` and tests."""
