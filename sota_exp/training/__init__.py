"""One run: session, batch pipeline, loop, trainer (validate, checkpoint, resume, stop), final scores.

Imports config, data, models, runs and stages.
"""
