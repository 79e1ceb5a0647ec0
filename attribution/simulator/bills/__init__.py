"""Native bills: how each cloud writes down what was used, in its own columns, units and habits."""
