"""The labeler's rules: data files that a radiologist can read."""
