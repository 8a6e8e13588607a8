"""Helpers without a subject of their own: caches, atomic files, signals, statistics."""
