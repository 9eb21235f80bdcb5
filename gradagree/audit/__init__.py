"""The audit of a project's existing gradient tests: what their comparisons would let through."""
