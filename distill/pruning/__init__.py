"""A student that starts as its teacher with fewer channels."""
