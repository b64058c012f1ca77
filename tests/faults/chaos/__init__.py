"""The chaos run: tasks of all kinds, submitted by a client that retries, while everything breaks.

`make chaos` runs it for ten minutes; `python -m tests.faults.chaos --seconds 60 --seed 7` for as
long as you like. The seed decides which tasks are submitted when, and what is broken when.
"""
