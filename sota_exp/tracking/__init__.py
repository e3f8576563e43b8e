"""A run while it trains, on the terminal and in MLflow, shown from its files.

It may import models, report, runs, stages, statistics and training.
"""
