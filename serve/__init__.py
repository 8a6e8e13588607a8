"""Server of `cgt serve`: translation of images and live video for browsers and programs.

    transport (webrtc, websocket, images) -> Session.submit -> Scheduler -> Session.next_result

A transport is a module with a tuple ENDPOINTS, listed in `app.ENDPOINTS`. It opens a session for
each client. A session holds the newest frame of its client and one result. The thread of the
scheduler serves the sessions in turn, with one engine for each model and precision. This package
never imports torch.
"""
