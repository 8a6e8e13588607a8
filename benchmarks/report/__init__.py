"""Reports: tables on the console, plots, one HTML page."""
