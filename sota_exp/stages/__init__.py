"""What a run is made of: one abstract class and its neutral option per kind, and the keyed random numbers.

Imports no other room.
"""
