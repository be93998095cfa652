"""What a user's process says to the agent, in that process: it must be light, quick, and never in the way."""
