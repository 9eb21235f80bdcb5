"""Every function alone, point by point."""
