"""A node that is not there: the machine behind `gpuwatch demo`. Only that command may import it."""
