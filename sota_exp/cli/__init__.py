"""One file per command: arguments in, words out, exit status.

Imports config, models, preview, report, runs, study, sweep, tracking and training.
"""
