"""Pruning: initial weights of a student that is a narrow copy of its teacher."""
