"""A search with Optuna: trials, who owns them, pruning, confirmation.

Imports config, report, runs, stages, statistics, tracking and training.
"""
