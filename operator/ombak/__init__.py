"""Ombak: hands-off, safe delivery of changes on Kubernetes."""
