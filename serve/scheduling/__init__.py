"""Sessions that share engines: scheduler, translators, feeds, broadcast."""
