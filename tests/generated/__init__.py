"""Bad input by the million: generated configurations through reader, planner and showcmd."""
