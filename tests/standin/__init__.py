"""A stand-in for the NVIDIA driver's management library: it plays back scripted GPUs whose truth is known."""
