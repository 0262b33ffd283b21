"""Stage base_model: the base model's files from elsewhere, checked."""
