"""Checkpoints of today's open models as their classes save them: the real classes, so small that a chunk takes little.

A module is one family's; `build(folder)` writes its checkpoint with random weights, the same every time.
"""
