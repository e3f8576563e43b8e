"""Networks by name, their parts and weights; the saved model, its exports and its predictions.

Imports config, data, runs and stages.
"""
