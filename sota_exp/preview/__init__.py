"""What can be known before training: the data, the machine, the plan and its cost.

Imports config, data, models, report, runs, stages, tracking and training.
"""
