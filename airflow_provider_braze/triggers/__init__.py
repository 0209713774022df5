"""Airflow triggers for Braze."""
