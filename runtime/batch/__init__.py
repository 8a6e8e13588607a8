"""Piles of video: files, and pieces of long ones, as tasks for several processes or machines.

    find_films -> Film -> tasks (Whole, or Parts and their Join) -> a Pool's workers -> one folder

A task decodes, translates and encodes in one worker and leaves a file; only names of files travel.
docs/batch.md is the manual.
"""
