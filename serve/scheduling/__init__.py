"""Sessions of clients that share engines: scheduler, translators, feeds and broadcast."""
