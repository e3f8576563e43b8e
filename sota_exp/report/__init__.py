"""Existing numbers as pages, tables and pictures.

Imports config, runs and statistics; no torch, no Hydra, no MLflow.
"""
