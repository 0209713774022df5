"""Airflow operators for Braze."""
