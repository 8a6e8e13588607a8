"""GStreamer RTSP server on localhost: `/usr/bin/python3 rtsp_server.py PORT FILE`.

It plays a test pattern at /live, and records the stream that a client sends to /push into FILE
(Matroska).
Debian packages: gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{good,bad,ugly}.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])

live = GstRtspServer.RTSPMediaFactory()
live.set_launch(
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=96,framerate=25/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 "
    "! rtph264pay name=pay0 pt=96 )"
)
live.set_shared(True)

push = GstRtspServer.RTSPMediaFactory()
push.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
push.set_launch(
    "( rtph264depay name=depay0 ! h264parse ! matroskamux streamable=true "
    f"! filesink location={sys.argv[2]} sync=false )"
)
push.set_latency(0)

mounts = server.get_mount_points()
mounts.add_factory("/live", live)
mounts.add_factory("/push", push)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
