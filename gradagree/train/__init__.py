"""Training runs by the reference and by frameworks, compared along the way."""
