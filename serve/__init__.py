"""`cgt serve`: pictures and video translated for browsers and programs, over one engine.

    transport (webrtc, websocket, images) --> Session.offer --> Scheduler --> Session.answer

A session holds one picture to be translated, the newest, and one answer. The scheduler's thread
goes round the sessions that have something to do. Never imports torch.
"""
