"""The only files that import the Kubernetes and Prometheus clients, and the clock."""
