"""Pure functions on arrays: paired differences, sign flips, effects, looks, evidence at any time, power, verdicts.

Imports no other room.
"""
