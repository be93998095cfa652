"""How does a terminal show it? Rows, columns and a screen with keys, over the records of `gpuwatch.model.live`."""
