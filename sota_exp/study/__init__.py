"""An ablation: arms planned, composed, launched and compared.

Imports config, models, preview, report, runs, stages, statistics and training.
"""
