// Each new frame of a <video>, once.

/** Calls handle(metadata) per frame until the returned function is called. */
export function eachFrame(video, handle) {
  let going = true;
  let request;
  if ("requestVideoFrameCallback" in video) {
    const next = (now, metadata) => {
      if (!going) return;
      request = video.requestVideoFrameCallback(next);
      handle({ ...metadata, now });
    };
    request = video.requestVideoFrameCallback(next);
    return () => {
      going = false;
      video.cancelVideoFrameCallback(request);
    };
  }
  let shown = -1;
  const look = (now) => {
    if (!going) return;
    request = requestAnimationFrame(look);
    if (video.currentTime === shown || video.readyState < 2) return;
    shown = video.currentTime;
    handle({ now });
  };
  request = requestAnimationFrame(look);
  return () => {
    going = false;
    cancelAnimationFrame(request);
  };
}
