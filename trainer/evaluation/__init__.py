"""How good a translation is: distances between sets of pictures, cycles, pairs, videos."""
