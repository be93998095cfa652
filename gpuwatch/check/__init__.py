"""What works on this node, what does not, what is lost by that, and what mends it. Looks only: it changes nothing."""
