"""The benchmark: what `make bench` measures, the peers it measures against, and how it writes the results down."""
