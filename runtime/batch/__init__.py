"""Batch translation: videos, and segments of long ones, as tasks for processes or machines.

    plan_outputs -> VideoJob -> tasks (TranslateVideo, or TranslateSegments and ConcatSegments)
                 -> workers of a Pool -> one folder

A task decodes, translates and encodes in one worker and writes a file. Only file names and status
messages travel between processes. docs/batch.md is the manual.
"""
