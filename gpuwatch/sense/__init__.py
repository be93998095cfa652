"""What does the machine say? Reads NVML, psutil, /proc and /sys, and judges nothing."""
