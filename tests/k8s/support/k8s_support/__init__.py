"""Clients of a Kubernetes cluster for the tests: kubectl, the trial overlay, and load in a pod."""
