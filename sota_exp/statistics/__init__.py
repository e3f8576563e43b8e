"""Pure functions on arrays: paired differences, sign-flip test, effects, interim looks, evidence at any time, power, verdicts.

Imports no other room.
"""
