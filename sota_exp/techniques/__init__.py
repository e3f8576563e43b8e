"""One technique per file, at the path of its YAML in conf/; chosen by name, imported by no other room.

Imports data, models and stages.

A technique imports no technique of another group.
"""
