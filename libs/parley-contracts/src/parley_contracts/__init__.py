"""Contracts between the services, shared by caller and callee."""
