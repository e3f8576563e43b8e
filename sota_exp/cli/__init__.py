"""One file per command: arguments in, words out, exit status; and the same commands for Python.

Imports config, data, models, preview, report, runs, stages, statistics, study, sweep, tracking and training.
"""
