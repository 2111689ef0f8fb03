"""The site that every peer serves: one model, one page for each workload."""
