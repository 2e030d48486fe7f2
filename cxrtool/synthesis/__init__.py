"""Exactly as many synthetic images as the rare classes need.

``targets`` reads what is wanted and ``program`` solves how many draws each class needs; ``tally``
and ``planner`` draw real rows until every target holds in integers. ``slots`` turns seeds into
network input and ``sampler`` runs the network in fixed blocks; ``writer``, ``shards`` and
``replay`` put the images on disk and account for each one.
"""
