"""Coverage-guided fuzzing of the parsers: docs/fuzzing.md."""
