"""`ombak demo`: one region, a good version, a bad one that is taken back, and a view of it all."""
