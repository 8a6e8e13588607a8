"""Results compared: reports, matrix, quality, roofline."""
