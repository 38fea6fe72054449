"""Prefect flows: when, where and on which device the stages run."""

import os

from stages.runtime import environment

HEARTBEAT_SECONDS = 30

environment.prepare()  # before Prefect is imported, which reads it

# Read when prefect is imported. Its own choice, 20 seconds, is too short for two cores.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
# A server that is gone costs 14 seconds of waiting per question, not a minute.
os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "3")
os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", str(HEARTBEAT_SECONDS))
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "true")
