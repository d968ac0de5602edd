"""Where the command lines of tests/data/argv come from, one module per kind of source."""
