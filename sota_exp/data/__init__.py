"""Images from their source to uint8 crops: sources, store, streaming, splits, resizing, loader.

Imports config, runs and stages.
"""
