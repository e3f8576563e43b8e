"""A search with Optuna: trials, their owners, pruning and confirmation.

It may import config, report, runs, stages, statistics, tracking and training.
"""
