"""How long a verdict takes: beside the bare frameworks, beside other checkers, by size, and over a long run."""
