"""What is what in all panels: the five states of GPU time, and the verdicts, in the words and order of the reports."""

from __future__ import annotations

from typing import Final

from gpuwatch.model.judgement import IDLE, KEPT_WARM, OK, RESERVED, SNOOZED, STUCK, UNDERUSED

STATES: Final = {
    "active": ("busy", "green"),
    "idle": ("held idle", "orange"),
    "free": ("free", "blue"),
    "unavailable": ("unavailable", "#7f7f7f"),
    "unknown": ("unknown", "purple"),
}
"""By state: the word for it, and its colour."""
VERDICTS: Final = {
    OK: "green",
    IDLE: "orange",
    UNDERUSED: "yellow",
    STUCK: "red",
    KEPT_WARM: "purple",
    RESERVED: "light-orange",
    SNOOZED: "blue",
}
