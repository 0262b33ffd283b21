"""What every wing may use: mistakes in one line, whole files, CSV read strictly, a training's processes."""
