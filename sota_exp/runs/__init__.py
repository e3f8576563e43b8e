"""A run on disk: the names of its files, how they are written and read, and how runs are found by name.

Imports config and stages.
"""
