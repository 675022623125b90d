"""The kinds of ombak.dev as pydantic models, and the CRDs made of them; pure, knows nothing of the rest."""
