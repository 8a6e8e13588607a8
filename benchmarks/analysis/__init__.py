"""Analysis of results: report comparison, precision matrix, quality, roofline."""
