"""Shows a run while it trains, on the terminal and in MLflow, from its files.

Imports config, models, report, runs, stages, statistics and training.
"""
