"""Envoy, the embedded default: told by files that it watches (xDS), read back over its admin interface and access log.

render.py: a snapshot -> resources, pure. folder.py: resources -> files, atomically. admin.py: what Envoy runs.
access_log.py: what it served. bootstrap.py: how it is started. orchestrator.py: the protocol over all of these.
"""
