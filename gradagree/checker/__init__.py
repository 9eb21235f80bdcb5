"""Decides whether the arrays of a framework agree with the reference: error bounds, the filter, comparisons."""
