"""What a meter or a model name means. Pure: rules are data (TOML), nothing here reads a clock, a file of the lake or the network."""
