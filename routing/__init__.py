"""Middle layer: what the orchestrator is told. It may use `attribution`, and is used by `governance`."""
