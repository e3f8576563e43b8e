"""Numbers that exist, shown as pages, tables and pictures.

Imports config, runs and statistics.
"""
