"""Libraries that train for you: one module each, which imports its library and nothing of the others."""
