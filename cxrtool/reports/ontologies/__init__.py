"""Sets of labels: TOML files, see ``cxrtool.reports.ontology``."""
