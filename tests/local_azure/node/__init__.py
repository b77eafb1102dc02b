"""A compute node of the local Batch service."""
