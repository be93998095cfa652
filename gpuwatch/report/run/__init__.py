"""One run, and two: what they had of their GPUs, and what would have been better. From records to text; pure."""
