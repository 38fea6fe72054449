"""Prefect flows: when, where and on which device the stages run."""
