"""Is that right? Verdicts on what runs do, and the thresholds that they go by. Pure."""
