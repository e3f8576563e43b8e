"""From the words of a command line to one typed, checked and hashed experiment: Hydra, recipes, rules, catalog.

Imports stages.
"""
