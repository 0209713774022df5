"""Airflow notifiers for Braze."""
