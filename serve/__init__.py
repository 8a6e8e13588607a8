"""`cgt serve`: pictures and video translated for browsers and programs, over one engine.

    transport (webrtc, websocket, images) --> Session.offer --> Scheduler --> Session.answer

A transport is a module with a tuple ENDPOINTS, named in `app.ENDPOINTS`. It opens a session for
each client, which holds the newest picture and one answer. The scheduler's thread goes round the
sessions that have something to do. Never imports torch.
"""
