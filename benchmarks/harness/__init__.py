"""Measurement: sessions in fresh processes, inputs, environment, results."""
