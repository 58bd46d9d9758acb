"""How Make-A-Video's networks are trained: text for the prior alone, looks from pictures, motion from video that
nobody described (arXiv 2209.14792 section 3.5).
"""
