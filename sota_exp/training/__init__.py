"""One run: session, batch pipeline, loop, trainer (validate, checkpoint, resume, stop), final scores.

Imports config, data, models, runs, stages and statistics.
"""
