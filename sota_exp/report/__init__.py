"""Existing numbers as pages, tables and figures.

Imports config, runs and statistics; no torch, no Hydra, no MLflow.
"""
