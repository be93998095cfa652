"""When? The daemon: wires the stages, cycle after cycle, and serves what they publish."""
