"""The figures to beat: Argo Rollouts 1.9.1, same work, same kind of machine, client limits lifted (see README)."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class PeerReleases:
    """Releases of 10 replicas, all started at once."""

    wall_s: float
    cpu_s: float
    writes: float
    events: float
    rss_mb: float


RELEASES = {
    1: PeerReleases(wall_s=1.0, cpu_s=0.1, writes=20, events=15, rss_mb=76),
    100: PeerReleases(wall_s=26.7, cpu_s=8.7, writes=20, events=15, rss_mb=92),
    1000: PeerReleases(wall_s=480.0, cpu_s=103.0, writes=20, events=13, rss_mb=193),
}
INSTALL_1000_S = 148.0
REACTION_S = {1: 0.99, 10: 3.95}
"""Median seconds from a visible bad value to the first revert write, by evaluation interval in seconds."""
