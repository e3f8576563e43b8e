"""Pure functions on arrays: paired differences, sign-flip test, effects, interim looks, power, verdicts.

Imports no other room.
"""
