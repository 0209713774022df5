"""Airflow sensors for Braze."""
