"""General helpers: caches, atomic files, logging, signals, statistics, system facts."""
