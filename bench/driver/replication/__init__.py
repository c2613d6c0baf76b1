"""Replication beside `skopeo copy`: lag, requests, source reads, the push itself, an outage."""
