"""What a meter or a model's name means. Pure: the rules are data (TOML); no clock, no lake, no network."""
