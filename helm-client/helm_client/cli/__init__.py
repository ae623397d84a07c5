"""The command line: Helm's names, flags, words and exit codes over the library beside it."""
