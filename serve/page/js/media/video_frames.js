// Each new frame of a <video>, once.

/** Calls handle(metadata) per frame until the returned function is called. */
export function forEachFrame(video, handle) {
  let running = true;
  let request;
  if ("requestVideoFrameCallback" in video) {
    const next = (now, metadata) => {
      if (!running) return;
      request = video.requestVideoFrameCallback(next);
      handle({ ...metadata, now });
    };
    request = video.requestVideoFrameCallback(next);
    return () => {
      running = false;
      video.cancelVideoFrameCallback(request);
    };
  }
  let shown = -1;
  const poll = (now) => {
    if (!running) return;
    request = requestAnimationFrame(poll);
    if (video.currentTime === shown || video.readyState < 2) return;
    shown = video.currentTime;
    handle({ now });
  };
  request = requestAnimationFrame(poll);
  return () => {
    running = false;
    cancelAnimationFrame(request);
  };
}
