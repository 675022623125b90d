"""The conveyor: one service's changes on their way through stages of regions (design 3). Pure, as all of core."""
