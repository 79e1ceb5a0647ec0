"""Bottom layer: what did it cost, and whose is it. It knows nothing of `routing` or `governance`."""
