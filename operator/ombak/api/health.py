"""The words in which health is told: what an alarm says, and whether it can be relied upon."""

import enum


class State(enum.StrEnum):
    """What an alarm says (the three states of CloudWatch)."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class Certainty(enum.StrEnum):
    """Whether the state would be the same however the unknown turned out (alarms-and-judge.md B4.2)."""

    Certain = "Certain"
    Uncertain = "Uncertain"
