"""Measurement harness: sessions in fresh processes, inputs, environment, results."""
