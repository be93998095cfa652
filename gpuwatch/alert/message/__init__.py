"""What people are told, and in which form Slack takes it. Pure; whom it goes to, and how, is decided elsewhere."""

from gpuwatch.alert.message.blocks import Message, addressed
from gpuwatch.alert.message.digest import digest
from gpuwatch.alert.message.single import closed, closing, opening, reminder
from gpuwatch.alert.message.terms import Terms

__all__ = ["Message", "Terms", "addressed", "closed", "closing", "digest", "opening", "reminder"]
