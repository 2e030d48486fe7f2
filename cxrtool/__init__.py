"""Composable commands that augment chest X-ray data with generative models."""

__version__ = "0.1.0"
