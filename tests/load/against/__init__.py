"""Measures another checkout of this project beside this one, through HTTP and the command line only."""
