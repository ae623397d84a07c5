"""The rules: bytes and values in, values out. No clock, no disk, no network."""
