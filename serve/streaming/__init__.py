"""Live video: WebRTC, WebSocket, jitter buffer, timestamps."""
