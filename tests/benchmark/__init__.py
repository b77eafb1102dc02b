"""How fast the sample is on the local Azure, beside the tutorial's way.

python -m tests.benchmark
"""
