"""The local Batch service."""
