// Callback for each new frame of a <video>.

/** Calls onFrame(metadata) once per frame, until the returned function is called. */
export function forEachFrame(video, onFrame) {
  let running = true;
  let request;
  if ("requestVideoFrameCallback" in video) {
    const next = (now, metadata) => {
      if (!running) return;
      request = video.requestVideoFrameCallback(next);
      onFrame({ ...metadata, now });
    };
    request = video.requestVideoFrameCallback(next);
    return () => {
      running = false;
      video.cancelVideoFrameCallback(request);
    };
  }
  let lastTime = -1;
  const poll = (now) => {
    if (!running) return;
    request = requestAnimationFrame(poll);
    if (video.currentTime === lastTime || video.readyState < 2) return;
    lastTime = video.currentTime;
    onFrame({ now });
  };
  request = requestAnimationFrame(poll);
  return () => {
    running = false;
    cancelAnimationFrame(request);
  };
}
