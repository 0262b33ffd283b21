"""Stage hub: the exported models as folders that other tools load, each with a model card."""
