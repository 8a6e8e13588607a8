"""Certainty of an import: a match, or a guess with its assumptions.

fingerprints.py   known projects, by keys that only they write
evidence.py       properties that weights, statistics and optimizers reveal
assumptions.py    what remains open, its effect and the flag that settles it
"""
