"""Readers of public forms of chest radiographs, one module a form (the list is in `base.FORMATS`).

In: files as they lie on disk. Out: a `base.SourceTable` and an opener of its images. Shared parts:
`files` (finding files, taking bad rows out), `vocabulary` (views, sexes, ages, splits), `npz`
(images in one file), and ``dicom_*`` (decoding and the grayscale pipeline).
"""
